"""From what libvirt said to the cause of an end. Facts: docs/libvirt.md, "How a console ends".

`Failure` is what was saved at the moment of failure; `Evidence` is what libvirt's events say about one incarnation of
the domain. `classify` puts them together; it never looks at anything that belongs to another incarnation.
"""

from dataclasses import dataclass

from virtmux.reasons import Cause, LibvirtEvent, Phase, SavedError

# libvirt's numbers, from include/libvirt/virterror.h; the core does not import libvirt.
_FROM_RPC = 7
_FROM_STREAMS = 38
_FROM_DBUS = 47
_FROM_POLKIT = 60
_ERR_NONE = -1
_ERR_INTERNAL = 1
_ERR_NO_SUPPORT = 3
_ERR_INVALID_ARG = 8
_ERR_OPERATION_FAILED = 9
_ERR_NO_DOMAIN = 42
_ERR_AUTH_FAILED = 45
_ERR_OPERATION_INVALID = 55
_ERR_OPERATION_DENIED = 29
_ERR_RPC = 39
_ERR_SYSTEM = 38
_ERR_AUTH_CANCELLED = 79
_ERR_ACCESS_DENIED = 88
_ERR_AUTH_UNAVAILABLE = 94
_ERR_DEVICE_MISSING = 99
# A system error carries its errno in int1 (src/util/virerror.c, virReportSystemErrorFull).
_EPERM = 1
_EIO = 5
_EACCES = 13

#: How a domain's end is called: the detail of a STOPPED event or the reason of a shut-off state.
_STOPPED_CAUSES: dict[str | None, Cause] = {
    "SHUTDOWN": Cause.GUEST_SHUTDOWN,
    "DESTROYED": Cause.GUEST_DESTROYED,
    "CRASHED": Cause.GUEST_CRASHED,
    "MIGRATED": Cause.GUEST_MIGRATED,
    "SAVED": Cause.GUEST_SAVED,
    "FAILED": Cause.GUEST_FAILED,
    "FROM_SNAPSHOT": Cause.GUEST_REVERTED,
}

_DENIED = frozenset(
    {_ERR_OPERATION_DENIED, _ERR_AUTH_FAILED, _ERR_AUTH_CANCELLED, _ERR_AUTH_UNAVAILABLE, _ERR_ACCESS_DENIED}
)

#: What is said where there is no such device; the latter by the driver of containers.
_NO_DEVICE = ("cannot find character device", "cannot find console device")

#: What an opening's error means, by its code.
_OPEN_CAUSES: dict[int, Cause] = {
    _ERR_OPERATION_FAILED: Cause.CONSOLE_BUSY,
    _ERR_NO_SUPPORT: Cause.CONSOLE_UNSUPPORTED,
    _ERR_INVALID_ARG: Cause.CONSOLE_UNSUPPORTED,
    _ERR_NO_DOMAIN: Cause.GUEST_UNDEFINED,
    _ERR_OPERATION_INVALID: Cause.GUEST_NOT_RUNNING,
    _ERR_DEVICE_MISSING: Cause.CONSOLE_MISSING,
}


@dataclass(slots=True)
class Evidence:
    """What is known about one incarnation of a domain, in the order in which libvirt's events told it."""

    number: int
    running_id: int
    started_at: int | None = None
    stopped: LibvirtEvent | None = None
    device_removed: LibvirtEvent | None = None
    shutting_down: LibvirtEvent | None = None
    paused: bool = False

    @property
    def running(self) -> bool:
        """Whether it runs, paused or not, as far as is known."""
        return self.running_id >= 0 and self.stopped is None


@dataclass(frozen=True, slots=True)
class Failure:
    """What was saved at the moment of failure. `cause` is set where it is known without libvirt's error.

    `stalled`: libvirt said nothing, but it serves the stream no more, or the guest takes no input.
    """

    phase: Phase
    at: int
    error: SavedError | None = None
    cause: Cause | None = None
    stalled: bool = False

    @property
    def testable(self) -> bool:
        """Whether opening the console again may tell what it means.

        Not where the guest's end of the PTY is closed: the PTY of its name may soon be another guest's.
        """
        return self.cause is None and (self.stalled or (self.error is not None and not _pty_closed(self.error)))


@dataclass(frozen=True, slots=True)
class Verdict:
    """A cause, and the event that it was seen by."""

    cause: Cause
    event: LibvirtEvent | None = None


def _pty_closed(error: SavedError) -> bool:
    """Whether `error` says that input found the guest's end of the PTY closed: no more than an end of stream says.

    libvirtd's write to the PTY fails with EIO then (Linux, drivers/tty/tty_io.c, `hung_up_tty_write`).
    """
    return error.code == _ERR_SYSTEM and error.domain == _FROM_STREAMS and error.int1 == _EIO


def stopped_cause(stopped: LibvirtEvent) -> Cause | None:
    """How a guest ended; None where libvirt does not say."""
    return _STOPPED_CAUSES.get(stopped.detail)


def is_another_end(known: LibvirtEvent, stopped: LibvirtEvent) -> bool:
    """Whether a guest that ended as `known`, and is found `stopped`, has ended once more in between.

    Of a QEMU that died libvirt's event says FAILED, its answer to a question CRASHED.
    """
    causes = {stopped_cause(known), stopped_cause(stopped)}
    return len(causes) > 1 and None not in causes and causes != {Cause.GUEST_FAILED, Cause.GUEST_CRASHED}


def connection_cause(error: SavedError | None) -> Cause | None:
    """The cause where `error` says that a connection is gone; None where it says something else.

    A cut connection answers 38/7 "End of file while reading data", a closed one 1/7 "client socket is closed", a dead
    one 1/7 "connection closed due to keepalive timeout".
    """
    if error is None or error.domain != _FROM_RPC or error.code not in (_ERR_INTERNAL, _ERR_SYSTEM, _ERR_RPC):
        return None
    if error.code == _ERR_SYSTEM and error.int1 in (_EPERM, _EACCES):
        return Cause.HYPERVISOR_DENIED
    return Cause.HYPERVISOR_TIMEOUT if "keepalive" in error.message else Cause.HYPERVISOR_LOST


def is_ours(error: SavedError | None) -> bool:
    """Whether libvirt gave no error of its own: virtmux could not even ask, for want of a file descriptor, or could
    make no sense of what it was given."""
    return error is not None and error.code == _ERR_NONE


def connecting_cause(error: SavedError) -> Cause:
    """What it means that a hypervisor cannot be connected to.

    Where libvirtd cannot ask polkit, it allows nothing, and its error is D-Bus's.
    """
    if error.code in _DENIED or error.domain in (_FROM_DBUS, _FROM_POLKIT):
        return Cause.HYPERVISOR_DENIED
    return connection_cause(error) or Cause.HYPERVISOR_LOST


def is_starting(error: SavedError | None) -> bool:
    """Whether `error`, of opening a console, says that the guest is just being started: its PTY has no name yet.

    In English, as libvirtd says it where its locale is no other (src/conf/virchrdev.c, `virChrdevOpen`).
    """
    return error is not None and error.code == _ERR_OPERATION_FAILED and "not yet assigned" in error.message


def has_lost_its_pty(error: SavedError | None) -> bool:
    """Whether `error`, of opening a console, says that there is a PTY and it cannot be opened, as of a guest that is
    just ending (src/util/virfdstream.c, `virFDStreamOpenFileInternal`)."""
    return error is not None and error.code == _ERR_SYSTEM and error.domain == _FROM_STREAMS


def opening_cause(error: SavedError) -> Cause:
    """What the error of opening a console, over a connection that is up, means."""
    lost = connection_cause(error)
    if lost is not None:
        return lost
    if is_starting(error):
        return Cause.GUEST_NOT_RUNNING
    if error.code in _DENIED:
        return Cause.HYPERVISOR_DENIED
    if error.code == _ERR_INTERNAL and "not using a PTY" in error.message:
        return Cause.CONSOLE_NOT_PTY
    if error.code == _ERR_INTERNAL and any(text in error.message for text in _NO_DEVICE):
        return Cause.CONSOLE_MISSING
    return _OPEN_CAUSES.get(error.code, Cause.STREAM_ERROR)


def classify(failure: Failure, evidence: Evidence) -> Verdict | None:
    """The root cause of an end, or None as long as it is undecided.

    The end of the guest explains every failure of its console; the end of the connection every other one. An EOF or a
    stream error alone leaves open why: wait for an event, or see whether the console can be opened again.
    """
    if evidence.stopped is not None:
        return Verdict(stopped_cause(evidence.stopped) or assume(failure, evidence).cause, evidence.stopped)
    if evidence.device_removed is not None:
        return Verdict(Cause.DEVICE_REMOVED, evidence.device_removed)
    known = failure.cause or connection_cause(failure.error)
    return Verdict(known) if known is not None else None


def assume(failure: Failure, evidence: Evidence) -> Verdict:
    """The cause where nothing more will be known: what the stream itself said, or that the guest had powered off."""
    if failure.error is not None:
        return Verdict(Cause.STREAM_ERROR)
    if evidence.shutting_down is not None:
        return Verdict(Cause.GUEST_SHUTDOWN, evidence.shutting_down)
    return Verdict(Cause.STREAM_ENDED)
