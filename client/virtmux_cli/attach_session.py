"""What `virtmux attach` does: the guest's output to stdout, stdin to the guest, until it leaves.

follow   records -> Attendance -> stdout, talk, or the decision to leave
type     stdin -> escape key -> Typeahead          (from the first time the console is attached)
send     Typeahead -> Console.write
"""

import asyncio
import contextlib
import math
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import NamedTuple

from virtmux.client import Client, connect
from virtmux.console import Console
from virtmux.errors import InputRejected, NotAttached, Refused, VirtmuxError
from virtmux.link import reason_now
from virtmux.messages import Gap
from virtmux.reasons import Cause, Reason
from virtmux.records import Break, Note
from virtmux_cli.attendance import Action, Attendance, Left, Live, OtherHistory, Write
from virtmux_cli.ending import TIMED_OUT, Policy
from virtmux_cli.escape import DEFAULT, parse_escape, until_escape
from virtmux_cli.streams import Outlet, Typeahead, read
from virtmux_cli.talk import Talk
from virtmux_cli.terminal import Terminal

_STDIN, _STDOUT = 0, 1
_LAST_OUTPUT_S = 1.0
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Options(NamedTuple):
    """The command line of `attach`; times in seconds."""

    console: str
    socket: str | None = None
    uri: str | None = None
    policy: Policy = Policy()
    wait_s: float | None = None
    read_only: bool = False
    escape: str | None = None
    as_json: bool = False
    quiet: bool = False
    linger_s: float | None = None
    position: str | None = None


class Leaving(NamedTuple):
    """With what status the command ends, and what it says last: a console's end, an error, a complaint, or nothing."""

    status: int
    end: Left | None = None
    error: Reason | None = None
    complaint: str | None = None


async def attend(options: Options) -> int:
    """Attach, and return the exit status. The terminal is as it was afterwards, whatever happened."""
    terminal = Terminal(_STDIN)
    visit = Visit(options, terminal)
    try:
        return await visit.run()
    finally:
        terminal.restore()
        visit.close()


class Visit:
    """One run of the command. The first reason to leave counts."""

    def __init__(self, options: Options, terminal: Terminal) -> None:
        self._options = options
        self._terminal = terminal
        self._talk = Talk(terminal, as_json=options.as_json, quiet=options.quiet)
        self._escape = parse_escape(options.escape or DEFAULT) if terminal.present or options.escape else None
        self._loop = asyncio.get_running_loop()
        self._leaving: asyncio.Future[Leaving] = self._loop.create_future()
        self._outlet = Outlet(_STDOUT, self._stdout_failed)
        self._typeahead = Typeahead()
        self._attached = asyncio.Event()
        self._begun = False
        self._escaped = False
        self._last_end: Reason | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self._lingering: asyncio.TimerHandle | None = None

    async def run(self) -> int:
        """Stay until something makes it leave, and return the exit status."""
        if self._options.wait_s is not None and math.isfinite(self._options.wait_s):
            self._waiting = self._loop.call_later(self._options.wait_s, self._wait_ran_out)
        with self._signals():
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(self._follow(), name="follow")
                await self._leaving
                following.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_OUTPUT_S):
                    await self._outlet.flush()
        self._terminal.restore()
        self._say_last(self._leaving.result())
        return self._leaving.result().status

    def close(self) -> None:
        """Let go of stdout and the timers."""
        self._outlet.close()
        for timer in (self._waiting, self._lingering):
            if timer is not None:
                timer.cancel()

    def _leave(self, leaving: Leaving) -> None:
        if not self._leaving.done():
            self._leaving.set_result(leaving)

    def _detach(self) -> None:
        self._leave(Leaving(0, end=Left(reason_now(Cause.DETACHED), 0)))

    def _stdout_failed(self, error: OSError) -> None:
        """That nobody reads any more is no failure: `virtmux attach web1 | grep -m1 login:` ends with 0."""
        if isinstance(error, BrokenPipeError):
            self._leave(Leaving(0))
        else:
            self._leave(Leaving(1, complaint=f"stdout: {error.strerror}; what the guest says is lost"))

    def _wait_ran_out(self) -> None:
        why = f": {self._last_end.text}" if self._last_end else ""
        text = f"{self._options.console} was not attached within {self._options.wait_s:g} s{why}; wait longer"
        self._leave(Leaving(TIMED_OUT, complaint=text))

    def _say_last(self, leaving: Leaving) -> None:
        if leaving.end is not None:
            self._talk.left(leaving.end, begun=self._begun)
        elif leaving.error is not None:
            self._talk.failed(leaving.error)
        elif leaving.complaint is not None:
            self._talk.complain(leaving.complaint)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Leave on a signal with 128 and its number; what nohup(1) ignores stays ignored."""
        taken = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        for number in taken:
            self._loop.add_signal_handler(number, self._leave, Leaving(128 + number))
        try:
            yield
        finally:
            for number in taken:
                self._loop.remove_signal_handler(number)

    # The console.

    async def _follow(self) -> None:
        try:
            async with (
                connect(self._options.socket) as mux,
                self._place(mux) as console,
                asyncio.TaskGroup() as tasks,
            ):
                await self._records(console, tasks)
        except VirtmuxError as error:
            self._leave(Leaving(error.reason.exit_status, error=error.reason))

    @contextlib.asynccontextmanager
    async def _place(self, mux: Client) -> AsyncIterator[Console]:
        """A place at CONSOLE, whose name is tried whole before what stands behind its last colon is a device."""
        name, (domain, _, device) = self._options.console, self._options.console.rpartition(":")
        async with contextlib.AsyncExitStack() as stack:
            try:
                console = await stack.enter_async_context(self._attach(mux, name, None))
            except Refused as error:
                if error.reason.cause is not Cause.CONSOLE_MISSING or not domain or not device:
                    raise
                console = await stack.enter_async_context(self._attach(mux, domain, device))
            yield console

    def _attach(self, mux: Client, domain: str, device: str | None) -> contextlib.AbstractAsyncContextManager[Console]:
        options = self._options
        return mux.attach(domain, device, uri=options.uri, position=options.position, read_only=options.read_only)

    async def _records(self, console: Console, tasks: asyncio.TaskGroup) -> None:
        attendance = Attendance(self._options.policy, console.place, replay=self._options.position is not None)
        await self._act(attendance.enter(), console, tasks)
        async for record in console:
            await self._act(attendance.take(record), console, tasks)

    async def _act(self, actions: Sequence[Action], console: Console, tasks: asyncio.TaskGroup) -> None:
        for action in actions:
            if isinstance(action, Write):
                self._talk.wrote(action.data)
                await self._outlet.write(action.data)
                self._linger()
                continue
            await self._outlet.flush()
            match action:
                case Live(first=True):
                    self._begin(console, tasks)
                case Live():
                    self._attached.set()
                    self._talk.live_again()
                case Left():
                    self._left(action)
                case Gap() | Break() | OtherHistory():
                    self._talk.missing(action)
                case Note():
                    self._talk.note(action)

    def _begin(self, console: Console, tasks: asyncio.TaskGroup) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        self._begun = True
        self._attached.set()
        self._talk.connected(console.place.info.id.domain, self._escape)
        self._terminal.make_raw()
        tasks.create_task(self._type(), name="type")
        tasks.create_task(self._send(console), name="send")

    def _left(self, left: Left) -> None:
        if left.replayed:
            self._talk.left(left, begun=self._begun)
            return
        self._attached.clear()
        if self._terminal.present:
            self._typeahead.clear()
        self._last_end = left.reason
        if left.status is None:
            self._talk.left(left, begun=self._begun)
        else:
            self._leave(Leaving(left.status, end=left))

    # The input.

    async def _type(self) -> None:
        """Take stdin, up to the escape key.

        On a terminal that key acts at once, and what is typed while nothing is attached is dropped, so that it does not
        reach the next boot. What is piped waits, and so does the key behind it.
        """
        unused = self._options.read_only and self._escape is None
        while not unused and not self._escaped and (data := await read(_STDIN)):
            data, self._escaped = until_escape(data, self._escape)
            if not self._options.read_only and (self._attached.is_set() or not self._terminal.present):
                await self._typeahead.put(data)
        if self._terminal.present:
            self._detach()
        self._typeahead.close()

    async def _send(self, console: Console) -> None:
        while data := await self._typeahead.take():
            await self._send_all(console, data)
        if self._escaped:
            self._detach()
        elif self._options.linger_s is not None:
            self._lingering = self._loop.call_later(self._options.linger_s, self._silent)

    async def _send_all(self, console: Console, data: bytes) -> None:
        """Send one piece; what is piped waits for the console."""
        while True:
            try:
                return await console.write(data)
            except NotAttached:
                if self._terminal.present:
                    return None
                self._attached.clear()
                await self._attached.wait()
            except InputRejected as error:
                return self._talk.input_lost(error.reason, len(data), error.unknown + error.rejected)
            except Refused as error:
                return self._talk.input_lost(error.reason, len(data), len(data))

    def _linger(self) -> None:
        """Output is no silence: begin to count anew."""
        if self._lingering is not None and self._options.linger_s is not None:
            self._lingering.cancel()
            self._lingering = self._loop.call_later(self._options.linger_s, self._silent)

    def _silent(self) -> None:
        if self._outlet.unwritten:  # whoever reads stdout is behind, not the guest
            self._linger()
        else:
            self._detach()
