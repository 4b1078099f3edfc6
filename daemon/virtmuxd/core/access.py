"""Who may do what at which console: rules by user, group and console, of which the first that concerns one decides."""

from collections.abc import Iterable
from enum import StrEnum
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import NamedTuple


class Right(StrEnum):
    """What a rule can allow."""

    WATCH = "watch"
    """See that there is the console, its state and its marks, and what it says from one's own attach on."""
    HISTORY = "history"
    """Read what it said before."""
    TYPE = "type"
    EXCLUSIVE = "exclusive"
    """Type alone."""
    STEAL = "steal"
    """Take that from another client."""
    RELEASE = "release"
    """Have virtmux let it go for others, and take it back."""
    FORCE = "force"
    """Take it from another libvirt client."""
    FORGET = "forget"
    """Delete what is stored of it."""
    KICK = "kick"
    """Send away a client that is there."""
    START = "start"
    """Start its domain, and resume it."""
    KEY = "key"
    """Press keys at its domain through libvirt, and send it an NMI."""


ALL = frozenset(Right)
NOTHING: frozenset[Right] = frozenset()
#: What members of the group `virtmux` may do: no more than who sits at a serial line.
USE = frozenset({Right.WATCH, Right.HISTORY, Right.TYPE, Right.EXCLUSIVE, Right.RELEASE})


def names(glob: str, domain: str, device: str | None) -> bool:
    """Whether a glob on DOMAIN or DOMAIN:DEVICE is for a console, or for a whole domain, which is the `device` None.

    A domain's name may hold a `:` itself, so it is tried alone too.
    """
    return fnmatchcase(domain, glob) or (device is not None and fnmatchcase(f"{domain}:{device}", glob))


class Identity(NamedTuple):
    """A client's user and groups, by their ids, as the kernel knows them of its socket."""

    uid: int
    gids: frozenset[int]


class Rule(NamedTuple):
    """What some people may do at some consoles: those who have one of these uids or gids, or `everybody`."""

    uids: frozenset[int]
    gids: frozenset[int]
    everybody: bool
    globs: tuple[str, ...]
    rights: frozenset[Right]

    def is_for(self, who: Identity) -> bool:
        """Whether this person is meant."""
        return self.everybody or who.uid in self.uids or not self.gids.isdisjoint(who.gids)


class AccessRules:
    """Rules in their order. The `masters`, uids, may do everything: no rule is for them."""

    def __init__(self, rules: Iterable[Rule], masters: Iterable[int]) -> None:
        self._rules = tuple(rules)
        self._masters = frozenset(masters)

    @property
    def fingerprint(self) -> bytes:
        """32 bytes that other rules do not have; the same in another life of the daemon."""
        rules = [
            (sorted(uids), sorted(gids), everybody, globs, sorted(rights))
            for uids, gids, everybody, globs, rights in self._rules
        ]
        return sha256(repr(rules).encode()).digest()

    def of(self, who: Identity) -> "Access":
        """What one person may do."""
        if who.uid in self._masters:
            return Access(None)
        return Access(tuple(rule for rule in self._rules if rule.is_for(who)))


class Access:
    """What one person may do, by the rules that are for them; without rules (None) everything."""

    def __init__(self, rules: tuple[Rule, ...] | None) -> None:
        self._rules = rules

    @property
    def is_any(self) -> bool:
        """Whether anything is allowed anywhere."""
        return self._rules is None or any(rule.rights for rule in self._rules)

    def at(self, domain: str, device: str | None) -> frozenset[Right]:
        """What is allowed at a console, or, without a device, at a domain: then only rules for whole domains count."""
        if self._rules is None:
            return ALL
        fitting = (rule for rule in self._rules if any(names(glob, domain, device) for glob in rule.globs))
        return next((rule.rights for rule in fitting), NOTHING)

    def everywhere(self) -> frozenset[Right]:
        """What is allowed at every console: what the first rule for all of them allows, and none before it denies."""
        if self._rules is None:
            return ALL
        allowed = ALL
        for rule in self._rules:
            allowed &= rule.rights
            if "*" in rule.globs:
                return allowed
        return NOTHING
