"""What can be configured: a Struct for each table of the file, with the defaults and with what a reload puts into
effect; and what that says of a console."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from virtmux.messages import MAX_SECONDS
from virtmuxd.core.access import Right, names
from virtmuxd.core.events import Policy
from virtmuxd.core.limits import LimitRules

_T = TypeVar("_T")
_Seconds = Annotated[float, Meta(gt=0, le=MAX_SECONDS)]
_Linger = Annotated[float, Meta(ge=0, le=MAX_SECONDS)]
_Count = Annotated[int, Meta(gt=0)]
_CInt = Annotated[int, Meta(gt=0, lt=1 << 31)]
_Text = Annotated[str, Meta(min_length=1)]
_Pool = Annotated[int, Meta(ge=0)]
_Ring = Annotated[int, Meta(ge=16384)]
_Days = Annotated[float, Meta(gt=0, le=36500)]

_LIVE = "takes effect at once"
Live = Annotated[_T, _LIVE]
"""The type of a key that a reload puts into effect; every other key waits for a restart."""

#: libvirt's transports to other hosts; `unix` goes to a socket of this one.
_REMOTE_TRANSPORTS = frozenset({"ssh", "libssh", "libssh2", "tls", "tcp", "ext"})


class Kept(StrEnum):
    """Where a console's records are kept."""

    DISK = "disk"
    """In files that outlive a boot of the host: the journal."""
    MEMORY = "memory"
    """In the ring alone, which outlives the daemon."""
    NONE = "none"
    """In the daemon's own memory, which outlives nothing."""


class HypervisorRule(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A hypervisor to serve, with what is particular to it."""

    uri: Live[_Text]
    pool: _Pool | None = None
    """How many connections its consoles and look-ups share; 0: each has one of its own."""


class ConsoleRule(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What is particular to some consoles: those whose DOMAIN or DOMAIN:DEVICE the glob matches."""

    match: Live[_Text]
    attach: Live[Policy | None] = None
    linger: Live[_Linger | None] = None
    ring: _Ring | None = None
    journal: Kept | None = None

    def concerns(self, domain: str, device: str) -> bool:
        """Whether this console is meant."""
        return names(self.match, domain, device)


class AccessRule(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What some people may do at some consoles. Whoever has one of these names or is in one of these groups is meant;
    without either, everybody."""

    user: tuple[_Text, ...] = ()
    group: tuple[_Text, ...] = ()
    console: Annotated[tuple[_Text, ...], Meta(min_length=1)] = ("*",)
    """Globs on DOMAIN or DOMAIN:DEVICE."""
    allow: tuple[Right, ...]


class MetricRules(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What is measured."""

    per_console: bool = True
    """Whether there are series for each console, which is many where there are many."""


class Config(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What can be configured. Times in seconds, sizes in bytes."""

    uri: Live[tuple[_Text, ...]] = ()
    """libvirt URIs, besides those of `hypervisor`; none at all: the system's for root, else the user's session."""
    hypervisor: Live[tuple[HypervisorRule, ...]] = ()
    """Hypervisors with settings of their own."""
    console: Live[tuple[ConsoleRule, ...]] = ()
    """Consoles with settings of their own: of the rules that concern one, the first that has a key gives it."""
    access: Live[tuple[AccessRule, ...]] = ()
    """Who may do what: of the rules that concern a person and a console, the first decides."""
    limits: Live[LimitRules] = LimitRules()
    metrics: Live[MetricRules] = MetricRules()
    socket: _Text | None = None
    """The socket; its directory is the runtime directory. The read-only one has `-ro` before `.sock`."""
    attach: Live[Policy] = Policy.ON_DEMAND
    """When a console is held."""
    domain: Live[Annotated[tuple[_Text, ...], Meta(min_length=1)]] = ("*",)
    """Which domains are meant, by globs on their names."""
    log_level: Live[Literal["debug", "info", "warning", "error"]] = "info"
    linger: Live[_Linger] = 60.0
    """How long a console that nobody watches any more stays open, on demand."""
    ring: _Ring = 1048576
    """How much output of a console is kept in the runtime directory."""
    journal: Kept = Kept.DISK
    """Where the records of a console are kept."""
    journal_directory: _Text | None = None
    """Where the journal's files lie; none is named: the system's for root, else in the user's state directory."""
    journal_size: Annotated[int, Meta(ge=65536)] = 8 << 20
    """How large a log may become, with its index, before it is rotated."""
    journal_keep: Annotated[int, Meta(ge=0, le=1000)] = 3
    """How many rotated logs of a console are kept."""
    journal_total: Annotated[int, Meta(ge=65536)] = 1 << 30
    """How much all files of the journal may take."""
    journal_days: _Days = 30.0
    """How many days old the newest record of a log may become before the log is deleted."""
    journal_free: Annotated[float, Meta(ge=0, lt=100)] = 10.0
    """How much of the file system, in percent, the journal leaves free."""
    journal_sync: Literal["never", "close", "batch"] = "close"
    """When records are forced to the disk: never, where a log is closed and at a stop, or with each write."""
    log_group: _Text | None = None
    """The group that may read the journal's files; none: the daemon's user alone."""
    call_deadline: _Seconds = 10.0
    """How long a libvirt call may take before its connection is cut."""
    keepalive_interval: _CInt = 3
    keepalive_count: _CInt = 3
    """A hypervisor that answers none of so many pings is lost, after interval * (count + 1) seconds."""
    probe_after: _Seconds = 3.0
    """A console that was silent so long after output is probed: is its stream still served?"""
    fence_deadline: _Seconds = 8.0
    """How long libvirt may take to answer a probe before the console is opened anew."""
    fence_patience: _Seconds = 35.0
    """The same where the guest has input to take; libvirtd itself waits for its `keepalive_interval` times (its
    `keepalive_count` + 1)."""
    client_requests: Annotated[int, Meta(ge=5)] = 20
    """What libvirtd.conf says of `max_client_requests`, where it says more than this; as it comes it says 5."""
    workers: _Count = 8
    """How many libvirt calls may be under way at once for a hypervisor."""
    pool: _Pool = 4
    """How many connections the consoles and look-ups of a remote hypervisor share; 0: each has one of its own."""

    @property
    def socket_path(self) -> Path:
        """The socket, once it is settled."""
        return Path(self.socket or "")

    def policy_of(self, domain: str, device: str) -> Policy:
        """When the console is held."""
        return self._first(domain, device, lambda rule: rule.attach, self.attach)

    def linger_of(self, domain: str, device: str) -> float:
        """How long the console stays open once nobody watches it."""
        return self._first(domain, device, lambda rule: rule.linger, self.linger)

    def ring_of(self, domain: str, device: str) -> int:
        """How much output of the console is kept in the runtime directory, in bytes."""
        return self._first(domain, device, lambda rule: rule.ring, self.ring)

    def journal_of(self, domain: str, device: str) -> Kept:
        """Where the console's records are kept."""
        return self._first(domain, device, lambda rule: rule.journal, self.journal)

    @property
    def writes_to_disk(self) -> bool:
        """Whether any console's records may be kept on the disk."""
        return Kept.DISK in (self.journal, *(rule.journal for rule in self.console))

    def _first(self, domain: str, device: str, setting: Callable[[ConsoleRule], _T | None], default: _T) -> _T:
        """What the first rule that concerns the console says, of those that say anything."""
        settings = (setting(rule) for rule in self.console if rule.concerns(domain, device))
        return next((each for each in settings if each is not None), default)

    def pool_of(self, uri: str) -> int:
        """How many connections the consoles and look-ups of a hypervisor share; 0: each has one of its own."""
        default = self.pool if is_remote(uri) else 0
        return next((each.pool for each in self.hypervisor if each.uri == uri and each.pool is not None), default)


def passwords(config: Config) -> Iterator[str]:
    """What is wrong with URIs that hold a password: libvirt makes no use of one, and lists and logs show the URI."""
    uris = {f"uri[{number}]": uri for number, uri in enumerate(config.uri, 1)}
    uris |= {f"hypervisor[{number}].uri": each.uri for number, each in enumerate(config.hypervisor, 1)}
    for where, uri in uris.items():
        if _has_password(uri):
            yield f"{where}: a password must not stand in a URI, which all see; libvirt's auth.conf takes it"


def _has_password(uri: str) -> bool:
    try:
        return urlsplit(uri).password is not None
    except ValueError:  # libvirt will say so too
        return False


def keys_that_wait(table: type[Struct]) -> list[str]:
    """The keys of a table that take effect only at the daemon's next start."""
    fields = msgspec.structs.fields(table)
    return [field.name for field in fields if _LIVE not in getattr(field.type, "__metadata__", ())]


def is_remote(uri: str) -> bool:
    """Whether a URI leads to another host, or uses a transport that is for that: then a connection is dear."""
    try:
        parts = urlsplit(uri)
    except ValueError:  # libvirt will say so too
        return False
    transport = parts.scheme.partition("+")[2]
    return transport in _REMOTE_TRANSPORTS or (not transport and bool(parts.netloc))
