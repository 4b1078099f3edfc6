"""Why a console, a place at it or a connection ended: the closed set of causes and the Reason that carries one.

`CAUSES` is the one table behind the texts, the exit statuses and the retry decisions of every part of virtmux.
Pure: no I/O, no clock, no libvirt.
"""

from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from virtmux.wire import U32, U63


class Cause(StrEnum):
    """What ended it. The value is the name on the wire; names and numbers are never reused."""

    DETACHED = "detached"
    STREAM_ERROR = "stream-error"
    STREAM_ENDED = "stream-ended"
    INTERNAL_ERROR = "internal-error"
    ACTION_FAILED = "action-failed"
    FEATURE_MISSING = "feature-missing"
    CONSOLE_MISSING = "console-missing"
    CONSOLE_NOT_PTY = "console-not-pty"
    CONSOLE_UNSUPPORTED = "console-unsupported"
    GUEST_UNDEFINED = "guest-undefined"
    ACCESS_DENIED = "access-denied"
    HYPERVISOR_DENIED = "hypervisor-denied"
    SERVER_STOPPING = "server-stopping"
    SERVER_LOST = "server-lost"
    HYPERVISOR_LOST = "hypervisor-lost"
    HYPERVISOR_TIMEOUT = "hypervisor-timeout"
    CONSOLE_BUSY = "console-busy"
    CONSOLE_TAKEN_OVER = "console-taken-over"
    CONSOLE_RELEASED = "console-released"
    GUEST_NOT_RUNNING = "guest-not-running"
    GUEST_SHUTDOWN = "guest-shutdown"
    GUEST_DESTROYED = "guest-destroyed"
    GUEST_SAVED = "guest-saved"
    GUEST_MIGRATED = "guest-migrated"
    GUEST_REVERTED = "guest-reverted"
    DEVICE_REMOVED = "device-removed"
    GUEST_CRASHED = "guest-crashed"
    GUEST_FAILED = "guest-failed"
    EVICTED = "evicted"
    TOO_SLOW = "too-slow"
    IDLE = "idle"
    PROTOCOL_ERROR = "protocol-error"


class Phase(StrEnum):
    """What was being done when it failed."""

    OPEN = "open"
    RECEIVE = "receive"
    SEND = "send"
    CONNECTION = "connection"
    LIFECYCLE = "lifecycle"
    CLIENT = "client"
    SERVER = "server"


class CauseInfo(NamedTuple):
    """A row of `CAUSES`."""

    number: int
    """A number that stands for the cause in metrics and in C; ten times its exit status and a running digit."""
    exit_status: int
    """What the `virtmux` command exits with."""
    retry: bool
    """Whether the same thing, tried again without anybody's help, may well succeed."""
    text: str
    """A sentence for a person; `{domain}` and `{device}` are filled in by `sentence`."""


#: A row for each cause; SPEC.md and docs/causes.md are held against it.
CAUSES: dict[Cause, CauseInfo] = {
    Cause.DETACHED: CauseInfo(1, 0, False, "detached"),
    Cause.STREAM_ERROR: CauseInfo(10, 1, True, "libvirt reported an error on the console of {domain}"),
    Cause.STREAM_ENDED: CauseInfo(11, 1, True, "the console of {domain} ended and libvirt did not say why"),
    Cause.INTERNAL_ERROR: CauseInfo(12, 1, False, "virtmux failed at the console of {domain}; its log has the details"),
    Cause.ACTION_FAILED: CauseInfo(13, 1, False, "libvirt could not do this to guest {domain}"),
    Cause.FEATURE_MISSING: CauseInfo(14, 1, False, "this virtmuxd is older than this virtmux and does not know that"),
    Cause.CONSOLE_MISSING: CauseInfo(30, 3, False, "there is no such console"),
    Cause.CONSOLE_NOT_PTY: CauseInfo(
        31, 3, False, "{device} of {domain} is not of type pty, so libvirt cannot open it"
    ),
    Cause.CONSOLE_UNSUPPORTED: CauseInfo(32, 3, False, "the hypervisor of {domain} offers no consoles"),
    Cause.GUEST_UNDEFINED: CauseInfo(33, 3, False, "guest {domain} was undefined"),
    Cause.ACCESS_DENIED: CauseInfo(40, 4, False, "virtmux's access rules do not allow this"),
    Cause.HYPERVISOR_DENIED: CauseInfo(41, 4, False, "libvirt does not allow virtmux to open the console of {domain}"),
    Cause.SERVER_STOPPING: CauseInfo(50, 5, True, "virtmuxd is stopping"),
    Cause.SERVER_LOST: CauseInfo(51, 5, True, "the connection to virtmuxd was lost"),
    Cause.HYPERVISOR_LOST: CauseInfo(60, 6, True, "the connection to the hypervisor of {domain} was lost"),
    Cause.HYPERVISOR_TIMEOUT: CauseInfo(61, 6, True, "the hypervisor of {domain} does not answer"),
    Cause.CONSOLE_BUSY: CauseInfo(80, 8, True, "another libvirt client holds the console of {domain}"),
    Cause.CONSOLE_TAKEN_OVER: CauseInfo(81, 8, True, "another libvirt client took the console of {domain} by force"),
    Cause.CONSOLE_RELEASED: CauseInfo(82, 8, True, "virtmux does not hold the console of {domain}"),
    Cause.GUEST_NOT_RUNNING: CauseInfo(90, 9, True, "guest {domain} is not running"),
    Cause.GUEST_SHUTDOWN: CauseInfo(100, 10, True, "guest {domain} shut down"),
    Cause.GUEST_DESTROYED: CauseInfo(101, 10, True, "guest {domain} was destroyed"),
    Cause.GUEST_SAVED: CauseInfo(102, 10, True, "guest {domain} was saved"),
    Cause.GUEST_MIGRATED: CauseInfo(103, 10, True, "guest {domain} was migrated away"),
    Cause.GUEST_REVERTED: CauseInfo(104, 10, True, "guest {domain} was reverted to a snapshot"),
    Cause.DEVICE_REMOVED: CauseInfo(105, 10, True, "{device} of {domain} was unplugged"),
    Cause.GUEST_CRASHED: CauseInfo(110, 11, True, "guest {domain} crashed"),
    Cause.GUEST_FAILED: CauseInfo(111, 11, True, "the process of guest {domain} died"),
    Cause.EVICTED: CauseInfo(120, 12, False, "virtmuxd sent this client away"),
    Cause.TOO_SLOW: CauseInfo(121, 12, True, "this client read too slowly"),
    Cause.IDLE: CauseInfo(122, 12, True, "nothing was sent or received for too long"),
    Cause.PROTOCOL_ERROR: CauseInfo(123, 12, False, "the peer broke the protocol"),
}

#: Causes by which a guest has ended, and with it what its console was attached to.
GUEST_ENDS = frozenset(
    {
        Cause.GUEST_SHUTDOWN,
        Cause.GUEST_DESTROYED,
        Cause.GUEST_SAVED,
        Cause.GUEST_MIGRATED,
        Cause.GUEST_REVERTED,
        Cause.GUEST_CRASHED,
        Cause.GUEST_FAILED,
    }
)

#: Causes that end a client's place or connection. They are messages to that client, never marks of a console.
PLACE_CAUSES = frozenset(
    {
        Cause.DETACHED,
        Cause.ACTION_FAILED,
        Cause.FEATURE_MISSING,
        Cause.ACCESS_DENIED,
        Cause.SERVER_STOPPING,
        Cause.SERVER_LOST,
        Cause.EVICTED,
        Cause.TOO_SLOW,
        Cause.IDLE,
        Cause.PROTOCOL_ERROR,
    }
)

#: Of these, the ones of a daemon that is not there, or not for long: it may well be there again soon.
SERVER_CAUSES = frozenset({Cause.SERVER_STOPPING, Cause.SERVER_LOST})


class ConsoleId(Struct, frozen=True):
    """Which console, in words that outlive the daemon.

    `hypervisor` (driver, instance, host UUID), `uuid` and `device` are its identity; `uri` and `domain` are ways to
    find it and may change. `incarnation` counts the starts of the domain that virtmux has seen, from 1; 0 before the
    first.
    """

    hypervisor: str
    uri: str
    domain: str
    uuid: str
    device: str
    incarnation: U32


class SavedError(Struct, frozen=True):
    """A libvirt error as it was at the moment of failure (`libvirtError.err`), and the API call that met it."""

    code: int
    code_name: str
    domain: int
    domain_name: str
    level: int
    message: str
    str1: str | None
    str2: str | None
    str3: str | None
    int1: int
    int2: int
    api: str


class LibvirtEvent(Struct, frozen=True):
    """A libvirt domain event or state that explains an end, for example `STOPPED` with detail `DESTROYED`."""

    name: str
    detail: str | None


class Retry(Struct, frozen=True):
    """Whether virtmux will try again by itself, and in how many seconds; null: as soon as an event allows it."""

    will_retry: bool
    after_s: float | None = None


class Reason(Struct, frozen=True, kw_only=True):
    """Why it ended: the root cause, saved at the moment of failure. Nothing that fails later replaces it.

    `offset` is the end of the console's output at that moment, `at` its time (RFC 3339, UTC), `error` the libvirt error
    that came first, `event` what libvirt's events or a state query added, `later_errors` what failed afterwards, while
    cleaning up. `moved_to` is set where a guest was migrated and virtmux goes with it: the URI of the hypervisor where
    the console goes on.
    """

    cause: Cause
    text: str
    phase: Phase
    console: ConsoleId | None = None
    offset: U63 | None = None
    at: str
    error: SavedError | None = None
    event: LibvirtEvent | None = None
    later_errors: tuple[SavedError, ...] = ()
    retry: Retry = Retry(will_retry=False)
    moved_to: str | None = None

    @property
    def exit_status(self) -> int:
        """The exit status of a command that ends for this reason."""
        return CAUSES[self.cause].exit_status


def sentence(cause: Cause, console: ConsoleId | None = None, detail: str = "", *, domain: str = "the guest") -> str:
    """Word `cause` for a person, naming the console's domain and device, with `detail` behind a colon. `domain`: where
    it concerns no console."""
    domain, device = (console.domain, console.device) if console else (domain, "the console")
    text = CAUSES[cause].text.format(domain=domain, device=device)
    return f"{text}: {detail}" if detail else text
