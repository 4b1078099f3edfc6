"""What one client asks about the others: who is there, and that one be sent away."""

from typing import assert_never

from virtmux.messages import Client, Done, Kick, Who
from virtmux.people import Person
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, Phase, sentence
from virtmuxd.service.answers import Answer, only_watches, person, refused
from virtmuxd.service.clients import Clients


class PeopleRequests:
    """The requests of one client, `who`."""

    def __init__(self, who: Person, clients: Clients, answer: Answer, *, read_only: bool) -> None:
        """A `read_only` client sends nobody away."""
        self._who = who
        self._clients = clients
        self._answer = answer
        self._read_only = read_only

    def carry_out(self, request: Who | Kick) -> None:
        """Carry a request out, and answer it."""
        match request:
            case Who(id):
                self._answer(*(Client(id, info) for info in self._clients.infos()), Done(id))
            case Kick(id) if self._read_only:
                self._answer(only_watches(id))
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
        self._answer(Done(request))  # before it is this client's own turn
        text = sentence(Cause.EVICTED, None, f"by {person(self._who)}")
        client.dismiss(reason_now(Cause.EVICTED, text=text, phase=Phase.SERVER))
