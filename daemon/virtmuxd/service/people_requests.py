"""What one client asks about the others: who is there, and that one be sent away."""

from itertools import chain
from typing import assert_never

from virtmux.messages import Client, Done, Kick, Refused, Who
from virtmux.people import Person
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, Phase
from virtmuxd.core.access import Right
from virtmuxd.service.answers import Answer, AnswerInTurn, person, refused
from virtmuxd.service.audit import Audit, of_other
from virtmuxd.service.clients import Clients
from virtmuxd.service.rights import Rights


class PeopleRequests:
    """The requests of one client, `who`."""

    def __init__(
        self,
        who: Person,
        clients: Clients,
        answer: Answer,
        rights: Rights,
        audit: Audit,
        *,
        answer_in_turn: AnswerInTurn,
    ) -> None:
        self._who = who
        self._clients = clients
        self._answer = answer
        self._answer_in_turn = answer_in_turn
        self._rights = rights
        self._audit = audit

    def carry_out(self, request: Who | Kick) -> None:
        """Carry a request out, and answer it."""
        match request:
            case Who(id):
                infos = self._clients.infos(self._rights.sees)
                self._answer_in_turn(chain((Client(id, info) for info in infos), [Done(id)]))
            case Kick(id, number):
                self._kick(id, number)
            case _:
                assert_never(request)

    def _kick(self, request: int, number: int) -> None:
        client = self._clients.get(number)
        if client is None:
            text = f"there is no client {number}; `virtmux who` shows who is connected"
            self._answer(refused(request, Cause.CONSOLE_MISSING, text))
            return
        rights = [self._rights.at(console) for console in client.consoles] or [self._rights.everywhere()]
        if not all(Right.KICK in each for each in rights):
            self._answer(Refused(request, self._rights.denied(Right.KICK, f"client {number}", of_other(client.who))))
            return
        self._audit.kicked(client.who)
        self._answer(Done(request))  # before it is this client's own turn
        text = f"{person(self._who)} sent this client away"
        client.dismiss(reason_now(Cause.EVICTED, text=text, phase=Phase.SERVER))
