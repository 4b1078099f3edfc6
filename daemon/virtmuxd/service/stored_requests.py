"""What a client asks about the past: histories and marks that are stored, and that they be forgotten."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import assert_never

from virtmux.messages import (
    DaemonMessage,
    Done,
    Forget,
    Histories,
    History,
    HistoryInfo,
    Marks,
    Refused,
    Stored,
)
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, ConsoleId
from virtmux.records import parse_time
from virtmuxd.core.access import Right
from virtmuxd.service.answers import Answer, AnswerInTurn, Promise, refused
from virtmuxd.service.audit import Audit
from virtmuxd.service.contained import Boundary, Contained, contained
from virtmuxd.service.library import Forgotten, HistoryMarks, Library, Named
from virtmuxd.service.rights import READING, Rights

NOTHING_STORED = "nothing of a console of this name is stored"


class StoredRequests(Contained):
    """The requests of one client, answered as the library answers. `client` is whose failure boundary this is in."""

    def __init__(
        self,
        client: Boundary,
        library: Library,
        answer: Answer,
        promise: Promise,
        rights: Rights,
        *,
        audit: Audit,
        answer_in_turn: AnswerInTurn,
    ) -> None:
        super().__init__(client)
        self._library = library
        self._answer = answer
        self._answer_in_turn = answer_in_turn
        self._promise = promise
        self._rights = rights
        self._audit = audit

    def carry_out(self, request: Histories | Marks | Forget) -> None:
        """Answer a request, by and by."""
        named = Named(request.domain, request.device, request.uri)
        match request:
            case Histories():
                self._library.histories(named, self._promise(partial(self._tell_histories, request)))
            case Marks():
                self._marks(request, named)
            case Forget():
                self._forget(request, named)
            case _:
                assert_never(request)

    def _marks(self, request: Marks, named: Named) -> None:
        try:
            since = 0 if request.since is None else parse_time(request.since)
        except ValueError as error:
            self._answer(Refused(request.id, reason_now(Cause.PROTOCOL_ERROR, f"since: {error}")))
        else:
            self._library.marks(named, since, self._promise(partial(self._tell_marks, request)))

    def _forget(self, request: Forget, named: Named) -> None:
        forgets = [Right.FORGET in self._rights.at(console.id) for console in self._library.present(named)]
        # Of what is stored alone it is not known here whose it was.
        if all(forgets) if forgets else Right.FORGET in self._rights.everywhere():
            self._library.forget(named, self._promise(partial(self._forgotten, request)))
        else:
            self._deny(request, Right.FORGET)

    @contained
    def _tell_histories(self, request: Histories, infos: list[HistoryInfo] | None) -> None:
        allowed = None if infos is None else [info for info in infos if self._reads(info.console)]
        if not allowed and request.domain is not None and (infos or not self._may_know(request.domain, request.device)):
            self._deny(request, Right.HISTORY)
        else:
            self._tell_all(request.id, None if allowed is None else [History(request.id, info) for info in allowed])

    @contained
    def _tell_marks(self, request: Marks, told: list[HistoryMarks] | None) -> None:
        allowed = None if told is None else [each for each in told if self._reads(each.console)]
        if not allowed and (told or not self._may_know(request.domain, request.device)):
            self._deny(request, Right.HISTORY)
        elif allowed is None:
            self._tell_all(request.id, None)
        else:
            self._answer_in_turn(self._marks_of(request.id, allowed))

    def _marks_of(self, request: int, told: list[HistoryMarks]) -> Iterator[DaemonMessage]:
        for each in told:
            for mark in each.told():
                if not self._reads(each.console):  # any more
                    break
                yield Stored(request, mark.history, mark.event)
        yield Done(request)

    def _reads(self, console: ConsoleId) -> bool:
        return self._rights.at(console) >= READING

    def _may_know(self, domain: str, device: str | None) -> bool:
        """Whether the client may be told that nothing is stored."""
        return self._rights.on(domain, device) >= READING

    def _deny(self, request: Histories | Marks | Forget, right: Right) -> None:
        named = {"domain": request.domain, "device": request.device, "uri": request.uri}
        self._answer(Refused(request.id, self._rights.denied(right, request.domain or "all consoles", named)))

    def _forgotten(self, request: Forget, forgotten: Forgotten | None) -> None:
        """The audit says so also where the client is gone."""
        error = next(iter(forgotten.errors), None) if forgotten is not None else None
        if forgotten is not None:
            self._audit.forgot(request.domain, request.device, request.uri, error)
        self._tell_forgotten(request, forgotten, error)

    @contained
    def _tell_forgotten(self, request: Forget, forgotten: Forgotten | None, error: OSError | None) -> None:
        if error is None:
            self._tell_all(request.id, None if forgotten is None else [])
        else:
            text = f"not all of it could be deleted: {error}"
            self._answer(refused(request.id, Cause.INTERNAL_ERROR, text))

    def _tell_all(self, request: int, items: Sequence[DaemonMessage] | None) -> None:
        if items is None:
            self._answer(refused(request, Cause.CONSOLE_MISSING, NOTHING_STORED))
        else:
            self._answer(*items, Done(request))
