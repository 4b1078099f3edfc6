"""What one client may do: by the access rules in force, and by the socket that it came in by."""

from collections.abc import Callable, Mapping
from typing import Protocol

from virtmux.people import Person
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, Reason
from virtmuxd.core.access import Access, AccessRules, Identity, Right
from virtmuxd.service.audit import Audit

#: What the read-only socket is for.
READING = frozenset({Right.WATCH, Right.HISTORY})


class Device(Protocol):
    """A device of a domain, by its names, as a `ConsoleId` has them."""

    @property
    def domain(self) -> str: ...

    @property
    def device(self) -> str: ...


class Rights:
    """The rights of `who`. Each is looked up when it is used, so that a reload counts at once."""

    def __init__(
        self, rules: Callable[[], AccessRules], who: Person, groups: frozenset[int], audit: Audit, *, read_only: bool
    ) -> None:
        """`rules` gives those that are in force. A `read_only` client only reads, whatever they say."""
        self._rules = rules
        self._who = who
        self._audit = audit
        self._identity = Identity(who.uid, groups)
        self._read_only = read_only
        self._known: tuple[AccessRules | None, Access] = None, Access(())

    @property
    def are_any(self) -> bool:
        """Whether anything is allowed anywhere."""
        return self._access.is_any

    def at(self, console: Device) -> frozenset[Right]:
        """What is allowed at a console."""
        return self._limited(self._access.at(console.domain, console.device))

    def sees(self, console: Device) -> bool:
        """Whether the client may know of a console."""
        return Right.WATCH in self.at(console)

    def on(self, domain: str, device: str | None = None) -> frozenset[Right]:
        """What is allowed to be done to a domain as a whole, or at a device of it, by names that somebody gave."""
        return self._limited(self._access.at(domain, device))

    def everywhere(self) -> frozenset[Right]:
        """What is allowed whatever it concerns."""
        return self._limited(self._access.everywhere())

    def denied(self, right: Right, where: str, about: Mapping[str, object]) -> Reason:
        """Deny something that needs a right which this client lacks; gives why. The audit says `about` what."""
        if self._read_only and right not in READING:
            text = "this socket is to watch"
        else:
            text = f"user {self._who.user} has no right to {_DOING[right]} {where}"
        return self._deny(right, text, about)

    def nothing(self) -> Reason:
        """Deny everything to this client, which may do nothing at all; gives why."""
        text = f"user {self._who.user} may do nothing here; [[access]] in virtmuxd.toml says who may"
        return self._deny(None, text, {})

    def _deny(self, right: Right | None, text: str, about: Mapping[str, object]) -> Reason:
        reason = reason_now(Cause.ACCESS_DENIED, text)
        self._audit.denied(right, reason, about)
        return reason

    def _limited(self, rights: frozenset[Right]) -> frozenset[Right]:
        return rights & READING if self._read_only else rights

    @property
    def _access(self) -> Access:
        rules = self._rules()
        if rules is not self._known[0]:
            self._known = rules, rules.of(self._identity)
        return self._known[1]


_DOING = {
    Right.WATCH: "watch",
    Right.HISTORY: "read the history of",
    Right.TYPE: "type at",
    Right.EXCLUSIVE: "type alone at",
    Right.STEAL: "steal",
    Right.RELEASE: "release",
    Right.FORCE: "take by force",
    Right.FORGET: "forget",
    Right.KICK: "kick",
    Right.START: "start",
    Right.KEY: "press keys at",
}
