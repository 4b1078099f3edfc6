"""The audit: a log record for whatever a client does at consoles and guests, and for what it may not do.

What it types is counted, and never told.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from virtmux.messages import GuestAction
from virtmux.people import Person, Role
from virtmux.reasons import Cause, ConsoleId, Reason
from virtmuxd.core.access import Right
from virtmuxd.core.log_fields import AUDIT, of_console
from virtmuxd.service.callers import Origin

_log = logging.getLogger(AUDIT)

#: Seconds between two records of what is typed at one place.
_TYPING: Final = 60.0
_AT_GUESTS: Final[Mapping[GuestAction, str]] = {
    "start": "audit: started a guest",
    "start-paused": "audit: started a guest",
    "resume": "audit: resumed a guest",
    "key": "audit: pressed keys at a guest",
    "nmi": "audit: sent an NMI to a guest",
}


class Audit:
    """Of one client."""

    def __init__(self, who: Person, origin: Origin, *, read_only: bool) -> None:
        """`read_only`: it came in by the socket that is to watch."""
        #: What each record says of the client.
        self.facts: dict[str, object] = {
            "client": who.client,
            "user": who.user,
            "uid": who.uid,
            "pid": who.pid,
            "command": origin.command,
            "unit": origin.unit,
            "read_only": read_only,
        }

    def denied(self, right: Right | None, reason: Reason, about: Mapping[str, object]) -> None:
        """It lacks a right, or any (None), for something that it asked for or had. `about` says of what."""
        extra = {"action": "deny", "right": right, **self.facts, **about, "reason": reason.text}
        _log.warning("audit: denied", extra=extra)

    def stole(self, console: ConsoleId, owner: Person) -> None:
        """It has the exclusive right now that was another's."""
        extra = {"action": "steal", **self.facts, **of_console(console), **of_other(owner)}
        _log.info("audit: stole the exclusive right", extra=extra)

    def forced(self, console: ConsoleId) -> None:
        """It had the console taken from another client of libvirt, if one had it."""
        extra = {"action": "force", **self.facts, **of_console(console)}
        _log.info("audit: asked for a console by force", extra=extra)

    def kicked(self, other: Person) -> None:
        """It sent another client away."""
        _log.info("audit: sent a client away", extra={"action": "kick", **self.facts, **of_other(other)})

    def released(self, console: ConsoleId, seconds: float | None, *, while_connected: bool) -> None:
        """It had the console let go: for so long, while it is connected, or until somebody reclaims it."""
        how = {"seconds": seconds, "while_connected": while_connected}
        extra = {"action": "release", **self.facts, **of_console(console), **how}
        _log.info("audit: released a console", extra=extra)

    def reclaimed(self, console: ConsoleId) -> None:
        """It ended a release, or its own ended with it."""
        extra = {"action": "reclaim", **self.facts, **of_console(console)}
        _log.info("audit: reclaimed a console", extra=extra)

    def forgot(self, domain: str, device: str | None, uri: str | None, error: OSError | None) -> None:
        """It had what is stored of the consoles of these names deleted; `error`: not all could be."""
        which = {"domain": domain, "device": device, "uri": uri}
        extra = {"action": "forget", **self.facts, **which, "error": None if error is None else str(error)}
        _log.info("audit: forgot what was stored", extra=extra)

    def acted(self, action: GuestAction, guest: Mapping[str, object], why_not: Reason | None) -> None:
        """It had something done to a guest; or libvirt has not done it, `why_not`."""
        extra = {"action": action, **self.facts, **guest}
        if why_not is None:
            _log.info(_AT_GUESTS[action], extra=extra)
        else:
            _log.info("audit: failed", extra={**extra, "cause": why_not.cause, "reason": why_not.text})


class PlaceAudit:
    """Of one client's place at a console."""

    def __init__(self, audit: Audit, console: Callable[[], ConsoleId]) -> None:
        """`console` gives who the console is now: a migration changes that."""
        self._audit = audit
        self._console = console
        self._loop = asyncio.get_running_loop()
        self._typed = 0
        self._untold = 0
        self._due: asyncio.TimerHandle | None = None

    def began(self, role: Role) -> None:
        """The client has the place."""
        _log.info("audit: attached", extra={**self._facts("attach"), "role": role})

    def typed(self, size: int) -> None:
        """So many bytes were typed, which is told by and by."""
        self._typed += size
        self._untold += size
        if self._due is None:
            self._due = self._loop.call_later(_TYPING, self._tell_typed)

    def ended(self, cause: Cause) -> None:
        """The place is over."""
        if self._due is not None:
            self._due.cancel()
            self._tell_typed()
        _log.info("audit: detached", extra={**self._facts("detach"), "bytes": self._typed, "cause": cause})

    def _tell_typed(self) -> None:
        self._due = None
        size, self._untold = self._untold, 0
        _log.info("audit: typed", extra={**self._facts("input"), "bytes": size})

    def _facts(self, action: str) -> dict[str, object]:
        return {"action": action, **self._audit.facts, **of_console(self._console())}


def of_other(who: Person) -> dict[str, object]:
    """What a record says of another client that it is about."""
    return {"other_client": who.client, "other_user": who.user, "other_uid": who.uid}
