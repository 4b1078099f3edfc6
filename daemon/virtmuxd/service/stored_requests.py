"""What a client asks about the past: histories and marks that are stored, and that they be forgotten."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar, assert_never

from virtmux.messages import (
    Done,
    Forget,
    Histories,
    History,
    HistoryInfo,
    Marks,
    Refused,
    ServerMessage,
    Stored,
)
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause
from virtmux.records import parse_time
from virtmuxd.service.answers import Answer, only_watches, refused
from virtmuxd.service.library import Forgotten, Library, Named, Told

_T = TypeVar("_T")

NOTHING_STORED = "nothing of such a console is stored"


class Promise(Protocol):
    """Counts an answer that comes by and by, until it is given (`Outgoing.promise`)."""

    def __call__(self, give: Callable[[_T], None], /) -> Callable[[_T], None]: ...


class StoredRequests:
    """The requests of one client; they are answered as the library answers."""

    def __init__(self, library: Library, answer: Answer, promise: Promise, *, read_only: bool) -> None:
        """A `read_only` client may have nothing forgotten."""
        self._library = library
        self._answer = answer
        self._promise = promise
        self._read_only = read_only

    def carry_out(self, request: Histories | Marks | Forget) -> None:
        """Answer a request, by and by."""
        named = Named(request.domain, request.device, request.uri)
        match request:
            case Histories(id):
                self._library.histories(named, self._promise(partial(self._tell_histories, id)))
            case Marks():
                self._marks(request, named)
            case Forget(id) if self._read_only:
                self._answer(only_watches(id))
            case Forget(id):
                self._library.forget(named, self._promise(partial(self._tell_forgotten, id)))
            case _:
                assert_never(request)

    def _marks(self, request: Marks, named: Named) -> None:
        try:
            since = 0 if request.since is None else parse_time(request.since)
        except ValueError as error:
            self._answer(Refused(request.id, reason_now(Cause.PROTOCOL_ERROR, f"since: {error}")))
        else:
            self._library.marks(named, since, self._promise(partial(self._tell_marks, request.id)))

    def _tell_histories(self, request: int, infos: list[HistoryInfo] | None) -> None:
        self._tell_all(request, None if infos is None else [History(request, info) for info in infos])

    def _tell_marks(self, request: int, told: list[Told] | None) -> None:
        self._tell_all(request, None if told is None else [Stored(request, each.history, each.event) for each in told])

    def _tell_forgotten(self, request: int, forgotten: Forgotten | None) -> None:
        if forgotten is None or not forgotten.errors:
            self._tell_all(request, None if forgotten is None else [])
        else:
            text = f"not all of it could be deleted: {forgotten.errors[0]}"
            self._answer(refused(request, Cause.INTERNAL_ERROR, text))

    def _tell_all(self, request: int, items: Sequence[ServerMessage] | None) -> None:
        if items is None:
            self._answer(refused(request, Cause.CONSOLE_MISSING, NOTHING_STORED))
        else:
            self._answer(*items, Done(request))
