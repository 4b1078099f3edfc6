"""What `virsh console` prints and ends with, as seen of virsh (tests/integration/test_console.py). Pure."""

from virtmux.reasons import GUEST_ENDS, Cause, Reason
from virtmux.sanitize import printable
from virtmux_cli.attach.escape import parse_escape

#: virsh's exit status for whatever failed.
FAILED = 1
#: What virsh says, word for word.
NOT_RUNNING = "error: The domain is not running"
NO_TERMINAL = "error: Cannot run interactive console without a controlling TTY"
NOT_CONNECTED = "error: failed to connect to the hypervisor"

#: Ends of which virsh learns no more than that the stream is over.
_SILENT = GUEST_ENDS | {Cause.DETACHED, Cause.STREAM_ENDED, Cause.DEVICE_REMOVED}
#: Failures of virsh to connect: there is no console yet, and no empty line behind them.
_CONNECTING = frozenset(
    {Cause.SERVER_LOST, Cause.ACCESS_DENIED, Cause.HYPERVISOR_LOST, Cause.HYPERVISOR_TIMEOUT, Cause.HYPERVISOR_DENIED}
)


def is_escape(text: str) -> bool:
    """Whether it is an escape key to virsh, which knows no `none`."""
    try:
        return parse_escape(text) is not None
    except ValueError:
        return False


def connected_lines(domain: str, escape: str) -> str:
    """What is said once the console is open; the key is named as it was given."""
    named = f"{escape} (Ctrl + {escape[1]})" if escape[0] == "^" and len(escape) > 1 else escape
    return f"Connected to domain '{printable(domain)}'\nEscape character is {named}\n"


def end_error(reason: Reason | None) -> str | None:
    """The error line for an end, without its newline; None where virsh ends in silence, with status 0."""
    if reason is None or reason.cause in _SILENT:
        return None
    if reason.cause is Cause.GUEST_NOT_RUNNING:
        return NOT_RUNNING
    return error(reason.error.message if reason.error is not None else reason.text)


def start_error(reason: Reason, domain: str) -> list[str]:
    """The error lines where the domain cannot be looked at."""
    if reason.cause in _CONNECTING:
        return [NOT_CONNECTED, error(reason.text)]
    if reason.cause is Cause.CONSOLE_MISSING:
        return no_domain(domain)
    return [error(reason.text)]


def no_domain(domain: str) -> list[str]:
    """The error lines where there is no such domain."""
    return [error(f"failed to get domain '{domain}'")]


def no_device(device: str | None) -> str:
    """The error line for a device that is not there."""
    return error(f"internal error: cannot find character device {device or '<null>'}")


def no_value(option: str) -> str:
    """The error line for an option whose value is empty."""
    return error(f"Failed to get option '{option}': Option argument is empty")


def bad_escape(text: str) -> str:
    """The error line for a key that is none."""
    return error(f"Invalid string '{text}' for escape sequence")


def error(text: str) -> str:
    """An error line."""
    return f"error: {printable(text)}"
