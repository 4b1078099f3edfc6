"""What `virtmux attach` does: the guest's output to stdout, stdin to the guest, until it leaves.

follow   records -> AttachState -> stdout, talk, or the decision to leave
input    stdin -> the guest; see `input`     (from the first time the console is attached)
"""

import asyncio
import contextlib
import math
import os
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never

from virtmux.addresses import Address
from virtmux.client import Client, connect
from virtmux.console import Console
from virtmux.errors import Refused, VirtmuxError
from virtmux.messages import Company, Gap, Lag
from virtmux.reason_now import reason_now
from virtmux.reasons import SERVER_CAUSES, Cause, Reason, sentence
from virtmux.records import Break, Note
from virtmux_cli.attach.abridged import Abridged, Breaks
from virtmux_cli.attach.company import RoleNews
from virtmux_cli.attach.display import Display
from virtmux_cli.attach.escape import DEFAULT, parse_escape
from virtmux_cli.attach.gathering import Gathering
from virtmux_cli.attach.input import AttachInput
from virtmux_cli.attach.policy import Leave, begins_anew, leaves_refused, option_to_wait, retries
from virtmux_cli.attach.replayed import PastFilter, Shown
from virtmux_cli.attach.state import Action, AttachState, End, Live, OtherHistory, Replayed, Withheld
from virtmux_cli.attach.talk import Talk
from virtmux_cli.options import by_name
from virtmux_cli.screen.window import REPLAY, WINDOW
from virtmux_cli.signals import handled
from virtmux_cli.statuses import SIGNALLED, TIMED_OUT, USAGE
from virtmux_cli.streams import Outlet
from virtmux_cli.terminal import Terminal

if TYPE_CHECKING:
    from virtmux_cli.screen.repainted import Repaint

_STDIN, _STDOUT = 0, 1


class Options(NamedTuple):
    """What `attach` is asked for; times in seconds."""

    console: str
    address: Address | None = None
    uri: str | None = None
    leave: Leave = Leave()
    wait_s: float | None = None
    read_only: bool = False
    escape: str | None = None
    as_json: bool = False
    quiet: bool = False
    clipboard: bool = True
    linger_s: float | None = None
    position: str | None = None
    replay: str | None = None
    lag: Lag | None = None
    exclusive: bool = False
    steal: bool = False
    force: bool = False
    once_attached: Callable[[], Coroutine[Any, Any, None]] | None = None
    """What is done once the console is attached for the first time."""


class Leaving(NamedTuple):
    """With what status the command ends, and what it says last: a console's end, an error, a complaint, or nothing."""

    status: int
    end: End | None = None
    error: Reason | None = None
    complaint: str | None = None


async def attach(options: Options, talk: Talk | None = None) -> int:
    """Attach, and return the exit status. The terminal is as it was afterwards, whatever happened. `talk` is
    what speaks on that terminal, where it is to be something else than usual."""
    terminal = Terminal(_STDIN)
    session = AttachSession(options, terminal, talk)
    with handled(session.signalled, session.suspend, session.resume):
        try:
            return await session.run()
        finally:
            session.close()


class AttachSession:
    """One run of the command. The first reason to leave counts."""

    def __init__(self, options: Options, terminal: Terminal, talk: Talk | None = None) -> None:
        self._options = options
        self._terminal = terminal
        self._outlet = Outlet(_STDOUT)
        self._display = Display(terminal, self._outlet, clipboard=options.clipboard)
        self._talk = talk or Talk(
            self._display.say,
            person=terminal.present or self._display.talks_to_terminal,
            as_json=options.as_json,
            quiet=options.quiet,
        )
        self._escape = parse_escape(options.escape or DEFAULT) if terminal.present or options.escape else None
        self._loop = asyncio.get_running_loop()
        self._leaving: asyncio.Future[Leaving] = self._loop.create_future()
        self._outlet.failed.add_done_callback(self._stdout_failed)
        self._input = AttachInput(
            self._talk,
            escape=self._escape,
            typed=terminal.present,
            read_only=options.read_only,
            escaped=self._detach,
            ended=self._input_ended,
        )
        self._filter = self._filter_of_the_past()
        #: Whether the guest's output comes to a terminal: that is stdout, or may be behind what reads it (`| tee log`).
        self._is_seen = terminal.present or os.isatty(_STDOUT)
        self._begun = False
        self._gathering = Gathering(self._talk.company)
        self._last_end: Reason | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self._lingering: asyncio.TimerHandle | None = None

    async def run(self) -> int:
        """Stay until something makes it leave, and return the exit status."""
        if self._options.wait_s is not None and math.isfinite(self._options.wait_s):
            self._waiting = self._loop.call_later(self._options.wait_s, self._wait_ran_out)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self._follow(), name="follow")
            await self._leaving
            self._display.leave()
            self._input.say_what_is_left()
            following.cancel()
        await self._display.finish()
        self._terminal.restore()
        self._say_last(self._leaving.result())
        await self._display.finish_talking()
        return self._leaving.result().status

    def _filter_of_the_past(self) -> "PastFilter | Repaint":
        if self._options.replay != REPLAY:
            return PastFilter()
        from virtmux_cli.screen.repainted import Repaint

        return Repaint.for_terminal(_STDOUT)

    def close(self) -> None:
        """Let go of the terminal, stdout and the timers."""
        self._display.close()
        self._terminal.restore()
        self._gathering.close()
        for timer in (self._waiting, self._lingering):
            if timer is not None:
                timer.cancel()

    def suspend(self) -> None:
        """The process is to stop: the terminal is the person's."""
        self._display.suspend()
        self._terminal.suspend()

    def resume(self) -> None:
        """The process goes on."""
        self._terminal.resume()
        self._display.take_again()

    def signalled(self, number: int) -> None:
        """Leave on a signal, as a shell reports it: with 128 and its number."""
        self._leave(Leaving(SIGNALLED + number))

    def _leave(self, leaving: Leaving) -> None:
        if not self._leaving.done():
            self._leaving.set_result(leaving)

    def _detach(self) -> None:
        self._leave(Leaving(0, end=End(reason_now(Cause.DETACHED), 0)))

    def _stdout_failed(self, failed: asyncio.Future[OSError]) -> None:
        """That nobody reads any more is no failure: `virtmux attach web1 | grep -m1 login:` ends with 0."""
        error = failed.result()
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
            option = option_to_wait(leaving.end.reason, self._options.leave, begun=self._begun)
            self._talk.end(leaving.end, begun=self._begun, option=option)
        elif leaving.error is not None:
            self._talk.failed(leaving.error)
        elif leaving.complaint is not None:
            self._talk.complain(leaving.complaint)

    # The console.

    async def _follow(self) -> None:
        try:
            async with connect(self._options.address) as mux, contextlib.AsyncExitStack() as stack:
                if console := await self._enter(mux, stack):
                    async with asyncio.TaskGroup() as tasks:
                        await self._records(console, tasks)
        except VirtmuxError as error:
            self._leave(Leaving(error.reason.exit_status, error=error.reason))

    async def _enter(self, mux: Client, stack: contextlib.AsyncExitStack) -> Console | None:
        """A place at CONSOLE, asked for until it is given; None where it leaves instead."""
        backoff = retries(random.random)
        while True:
            try:
                return await self._find(mux, stack)
            except Refused as error:
                self._refused(error.reason)
            if self._leaving.done():
                return None
            await asyncio.sleep(backoff.next())

    async def _find(self, mux: Client, stack: contextlib.AsyncExitStack) -> Console:
        options = self._options

        async def attach(domain: str, device: str | None) -> Console:
            return await stack.enter_async_context(
                mux.attach(
                    domain,
                    device,
                    uri=options.uri,
                    position=options.position,
                    replay=f"bytes:{WINDOW}" if options.replay == REPLAY else options.replay,
                    read_only=options.read_only,
                    lag=options.lag,
                    exclusive=options.exclusive,
                    steal=options.steal,
                    company=self._talk.tells_company,
                    force=options.force,
                )
            )

        return await by_name(options.console, attach)

    def _refused(self, reason: Reason) -> None:
        status = leaves_refused(reason, self._options.leave)
        if status is None:
            if self._last_end is None or self._last_end.cause is not reason.cause:
                self._talk.end(End(reason, None), begun=False)
            self._last_end = reason
        elif reason.cause is Cause.PROTOCOL_ERROR and self._options.position is not None:
            # Of all that this command asks for, only the position can be what the daemon does not take.
            why = reason.text.removeprefix(f"{sentence(Cause.PROTOCOL_ERROR)}: ")
            self._leave(Leaving(USAGE, complaint=f"--from {self._options.position}: {why}"))
        else:
            self._leave(Leaving(status, error=reason))

    async def _records(self, console: Console, tasks: asyncio.TaskGroup) -> None:
        state = AttachState(self._options.leave, console.progress)
        abridged = Abridged()

        async def act(actions: Sequence[Action]) -> None:
            told = actions if self._options.as_json else abridged.take(actions, caught_up=console.progress.caught_up)
            await self._act(told, console, tasks)
            await self._settle(console)

        await act(state.enter())
        async for record in console:
            await act(state.take(record))

    async def _settle(self, console: Console) -> None:
        """Show what the past comes to, where all of it has come."""
        if console.progress.caught_up and (data := self._filter.caught_up()):
            await self._write(data)

    async def _act(self, actions: Sequence[Action | Breaks], console: Console, tasks: asyncio.TaskGroup) -> None:
        for action in actions:
            if isinstance(action, Shown):
                await self._show(action)
                continue
            await self._display.flush()
            match action:
                case Live(first=True):
                    self._begin(console, tasks)
                case Live():
                    self._input.go_on()
                    self._talk.live_again()
                    self._display.back()
                case End():
                    self._ended(action)
                case Replayed():
                    self._replayed(action)
                case Gap() | Break() | Breaks() | OtherHistory() | Withheld():
                    self._talk.missing(action)
                case Note():
                    self._noted(action)
                case RoleNews():
                    self._change_role(action, console)
                case Company():
                    self._gathering.take(action)
                case _:
                    assert_never(action)

    async def _show(self, shown: Shown) -> None:
        if self._options.replay != REPLAY:
            await self._write(self._filter.show(shown) if self._is_seen else shown.data)
            return
        if shown.replayed:
            self._display.pass_over(shown.data)
        else:
            await self._write(self._filter.caught_up())
        await self._write(self._filter.show(shown))

    async def _write(self, data: bytes) -> None:
        if data:
            await self._display.write(data)
        self._linger()

    def _begin(self, console: Console, tasks: asyncio.TaskGroup) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        self._begun = True
        # Raw first, which drops what was typed before: whoever types at the sight of the lines is heard.
        typed = self._terminal.make_raw()
        self._talk.connected(console.place.info.id.domain, self._escape)
        if typed:
            self._talk.input_dropped(typed)
        self._input.begin(console, tasks)
        tasks.create_task(self._do_once_attached(), name="once attached")

    def _replayed(self, replayed: Replayed) -> None:
        self._talk.replayed(replayed.what)
        if begins_anew(replayed.what):
            self._display.begin_anew()

    def _noted(self, note: Note) -> None:
        self._talk.note(note)
        if begins_anew(note):
            self._display.begin_anew()

    async def _do_once_attached(self) -> None:
        try:
            if self._options.once_attached is not None:
                await self._options.once_attached()
        except VirtmuxError as error:
            self._leave(Leaving(error.reason.exit_status, error=error.reason))

    def _ended(self, end: End) -> None:
        self._last_end = end.reason
        if end.status is not None:
            self._leave(Leaving(end.status, end=end))
            return
        self._talk.end(end, begun=self._begun)
        self._input.hold()
        if end.reason.cause in SERVER_CAUSES:
            self._gathering.lost()
        if begins_anew(end.reason):
            self._display.begin_anew()
        else:
            self._display.away()

    def _change_role(self, news: RoleNews, console: Console) -> None:
        self._talk.role(news, console.place.info.console)
        if news.role.types:
            self._input.permit()

    def _input_ended(self) -> None:
        if self._options.linger_s is not None:
            self._lingering = self._loop.call_later(self._options.linger_s, self._silent)

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
