"""What one client asks about letting consoles go: for a time, until they are reclaimed, or while it is connected."""

import time
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, assert_never

from virtmux.messages import Done, Reclaim, Refused, Release
from virtmux.reasons import Cause, Reason
from virtmuxd.core.access import Right
from virtmuxd.core.console import Console
from virtmuxd.core.events import Lent, Reclaimed, Released
from virtmuxd.core.log_fields import of_console
from virtmuxd.service.answers import Answer, refused
from virtmuxd.service.audit import Audit
from virtmuxd.service.contained import Boundary, Contained, contained
from virtmuxd.service.once import Once
from virtmuxd.service.rights import Rights

#: So many releases of a client may wait until a console is let go.
MOST = 1024
#: Seconds within which a console is let go.
_DEADLINE = 15.0
_SECOND = 10**9


@dataclass(slots=True)
class _Lent:
    """How often a console was lent since it last was not, and how often given back: what was lent first comes first."""

    times: int = 0
    over: int = 0


class _Time(NamedTuple):
    """One of these times, by its number from 1."""

    of: _Lent
    number: int


class Releases(Contained):
    """The requests of one client, and the consoles that are let go while it is connected. `client` is whose failure
    boundary this is in."""

    def __init__(self, client: Boundary, answer: Answer, rights: Rights, audit: Audit) -> None:
        super().__init__(client)
        self._answer = answer
        self._rights = rights
        self._audit = audit
        #: Of the consoles that are lent: at the console all the times of a client count as one.
        self._lent: dict[Console, _Lent] = {}
        self._waiting = 0

    def carry_out(self, request: Release | Reclaim, console: Console) -> None:
        """Carry a request out; it is answered once the console is let go, or at once."""
        match request:
            case Release(id) | Reclaim(id) if not self._may(console):
                self._answer(Refused(id, self._denied(console)))
            case Release(id) if self._waiting >= MOST:
                text = f"{MOST} releases of this client wait, the most that may"
                self._answer(refused(id, Cause.PROTOCOL_ERROR, text))
            case Release():
                self._release(request, console)
            case Reclaim():
                self._reclaim(request, console)
            case _:
                assert_never(request)

    def _denied(self, console: Console) -> Reason:
        return self._rights.denied(Right.RELEASE, console.naming.domain, of_console(console.id))

    def review(self) -> None:
        """Other access rules are in force: take back what may no longer be let go."""
        for console in tuple(self._lent):
            if not self._may(console):
                self._take_back(console)

    def _may(self, console: Console) -> bool:
        return Right.RELEASE in self._rights.at(console.id)

    def end(self) -> None:
        """The client is not connected any more: take back what was let go for it."""
        for console in tuple(self._lent):
            self._take_back(console)

    def _release(self, request: Release, console: Console) -> None:
        now = time.time_ns()
        self._audit.released(console.id, request.seconds, while_connected=request.while_connected)
        one = None
        if request.while_connected:
            one = self._lend(console, now)
        else:
            until = None if request.seconds is None else now + round(request.seconds * _SECOND)
            console.handle_event(Released(now, until))
        self._waiting += 1
        console.when_decided(Once(partial(self._released, request, console, one), _DEADLINE))

    def _lend(self, console: Console, now: int) -> _Time:
        lent = self._lent.setdefault(console, _Lent())
        lent.times += 1
        if lent.times == 1:
            console.handle_event(Lent(now, lent=True))
        return _Time(lent, lent.times)

    @contained
    def _released(self, request: Release, console: Console, one: _Time | None) -> None:
        self._waiting -= 1
        if console.machine.decided:
            self._answer(Done(request.id))
            return
        text = f"the console of {console.naming.domain} was not let go within {_DEADLINE:g} s"
        if one is None:
            text += "; it will be, as soon as that can be done"
        elif self._lent.get(console) is one.of and one.number > one.of.over:
            self._give_back(console)
        self._answer(refused(request.id, Cause.HYPERVISOR_TIMEOUT, text))

    def _reclaim(self, request: Reclaim, console: Console) -> None:
        if request.while_connected:
            self._give_back(console)
        else:
            console.handle_event(Reclaimed(time.time_ns()))
            self._audit.reclaimed(console.id)
        self._answer(Done(request.id))

    def _give_back(self, console: Console) -> None:
        """End one of the releases that last while the client is connected."""
        lent = self._lent.get(console)
        if lent is None:
            return
        lent.over += 1
        if lent.over < lent.times:
            self._audit.reclaimed(console.id)
        else:
            self._take_back(console)

    def _take_back(self, console: Console) -> None:
        """End all of them."""
        del self._lent[console]
        console.handle_event(Lent(time.time_ns(), lent=False))
        self._audit.reclaimed(console.id)
