"""A place at CONSOLE for the commands of scripts, and how they say what fails."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from virtmux.addresses import Address
from virtmux.client import connect
from virtmux.console import Console
from virtmux.errors import ConsoleEnded, InputRejected, TimedOut, VirtmuxError
from virtmux.following import Disconnected, Record, Resumed
from virtmux.messages import Gap, MarkMessage
from virtmux.records import Break, Note
from virtmux_cli.attach.state import End, OtherHistory, not_shown
from virtmux_cli.attach.talk import Talk, on_stderr
from virtmux_cli.options import by_name
from virtmux_cli.statuses import TIMED_OUT

#: Of what was seen last, so many bytes are shown.
_SEEN = 200


class Where(NamedTuple):
    """The daemon's address (None: the usual places), CONSOLE, and a hypervisor's URI (None: any)."""

    address: Address | None
    console: str
    uri: str | None


def talk(*, as_json: bool) -> Talk:
    """What the command says beside its output."""
    return Talk(on_stderr, person=False, as_json=as_json, quiet=False)


@asynccontextmanager
async def at_console(where: Where, position: str | None = None) -> AsyncIterator[Console]:
    """A place at the console: at its end, or at a position.

    Raises:
        VirtmuxError: there is no such console, or no daemon.
    """
    async with connect(where.address) as mux, AsyncExitStack() as stack:

        async def attach(domain: str, device: str | None) -> Console:
            return await stack.enter_async_context(mux.attach(domain, device, uri=where.uri, position=position))

        yield await by_name(where.console, attach)


def passing(say: Talk) -> Callable[[Record], None]:
    """Says what passes between the output and does not end anything."""

    def notice(record: Record) -> None:
        match record:
            case Gap():
                say.missing(record)
            case MarkMessage(record=Break() as mark):
                say.missing(mark)
            case MarkMessage(record=Note() as note):
                say.note(note)
            case Disconnected(reason=reason):
                say.end(End(reason, None), begun=True)
            case Resumed() if not record.continuous:
                for what in not_shown(record.place) or [OtherHistory()]:
                    say.missing(what)
            case _:
                pass

    return notice


async def reported(
    say: Talk, seconds: float | None, work: Callable[[], Awaitable[int]], redact: Callable[[bytes], bytes] = bytes
) -> int:
    """The exit status of `work`, or that of what it raises, which is said. `seconds` is what the person has given it.

    `redact` takes secrets out of what was seen last, which may end within one.
    """
    try:
        return await work()
    except TimedOut as error:
        say.complain(timed_out(error, error.seconds if seconds is None else seconds, redact(error.seen)))
        return TIMED_OUT
    except InputRejected as error:
        say.failed(error.reason)
        say.complain(rejected(error))
        return error.reason.exit_status
    except VirtmuxError as error:
        say.failed(error.reason)
        if isinstance(error, ConsoleEnded) and error.seen:
            say.complain(f"last seen: {quoted(redact(error.seen))}")
        return error.reason.exit_status


def timed_out(error: TimedOut, seconds: float, seen: bytes) -> str:
    """What was waited for, for how long, and what was there instead."""
    what = error.what.replace(" b'", " '").replace(' b"', ' "')
    why = f": {error.reason.text}" if error.reason is not None else ""
    return f"{what} within {seconds:g} s{why}" + (f"; last seen: {quoted(seen)}" if seen else "")


def rejected(error: InputRejected) -> str:
    """How far the input came."""
    return (
        f"of the input {error.accepted} bytes were accepted, {error.unknown} may have arrived, "
        f"{error.rejected} did not arrive"
    )


def quoted(data: bytes) -> str:
    """The end of what the guest said, in one line and in quotes."""
    return repr(data[-_SEEN:].decode(errors="backslashreplace"))


def seconds_of(timeout: float | None) -> float | None:
    """What `--timeout` says; `forever` is none."""
    return None if timeout is None or math.isinf(timeout) else timeout


def pattern_text(pattern: bytes) -> str:
    """A pattern as it was given."""
    return pattern.decode(errors="backslashreplace")
