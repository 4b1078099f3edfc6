"""What is answered to one client, and how a request is refused."""

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from virtmux.messages import DaemonMessage, Refused
from virtmux.people import Person
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause

_T = TypeVar("_T")


class Answer(Protocol):
    """Sends messages to the client, if it is still there."""

    def __call__(self, *said: DaemonMessage) -> None: ...


class AnswerInTurn(Protocol):
    """Sends many messages to the client, likewise, each made when the socket takes it."""

    def __call__(self, said: Iterator[DaemonMessage], /) -> None: ...


class Promise(Protocol):
    """Counts an answer that comes by and by, until it is given (`Outgoing.promise`)."""

    def __call__(self, give: Callable[[_T], None], /) -> Callable[[_T], None]: ...


def refused(request: int, cause: Cause, text: str) -> Refused:
    """The answer to a request, by its id, that is not carried out; `text` is the whole sentence."""
    return Refused(request, reason_now(cause, text=text))


def person(who: Person) -> str:
    """A client in a sentence for another."""
    return f"{who.user} (client {who.client}, pid {who.pid})"
