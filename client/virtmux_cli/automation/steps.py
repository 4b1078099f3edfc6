"""Does the steps of a script at a console."""

import asyncio

from virtmux.console import Console
from virtmux.errors import ConsoleEnded, InputRejected, TimedOut, VirtmuxError
from virtmux.reasons import Cause
from virtmux_cli.attach.state import not_shown
from virtmux_cli.attach.talk import Talk
from virtmux_cli.automation.console import (
    Where,
    at_console,
    pattern_text,
    quoted,
    rejected,
    reported,
    talk,
)
from virtmux_cli.automation.expected import expect
from virtmux_cli.automation.match_text import match_json, match_line
from virtmux_cli.automation.parts import redacted, redacted_so_far
from virtmux_cli.automation.script import Script, Step
from virtmux_cli.automation.sending import Pace, send
from virtmux_cli.automation.wait import print_end, wait_attached, wait_ended
from virtmux_cli.output import write
from virtmux_cli.statuses import FURTHER, TIMED_OUT
from virtmux_cli.text import reason_text

_TIMEOUT_S = 60.0


async def run(where: Where, script: Script, seconds: float | None, position: str | None, *, as_json: bool) -> int:
    """Do the steps, and return the exit status: that of the first step that fails."""
    say = talk(as_json=as_json)
    default = next(each for each in (seconds, script.seconds, _TIMEOUT_S) if each is not None)

    async def work() -> int:
        async with at_console(where, position) as console:
            for what in not_shown(console.place):
                say.missing(what)
            running = _Run(script, console, say, default, as_json=as_json)
            for number, step in enumerate(script.steps, 1):
                if status := await running.step(number, step):
                    return status
        return 0

    return await reported(say, None, work)


class _Run:
    """A script at a console."""

    def __init__(self, script: Script, console: Console, say: Talk, seconds: float, *, as_json: bool) -> None:
        self._script = script
        self._console = console
        self._say = say
        self._seconds = seconds
        self._as_json = as_json

    async def step(self, number: int, step: Step) -> int:
        """Do a step; its exit status. What fails is said with the file, the step and what was expected."""
        seconds = self._seconds if step.seconds is None else step.seconds
        try:
            return await self._do(number, step, seconds)
        except TimedOut as error:
            why = f"not within {error.seconds:g} s" + (f": {error.reason.text}" if error.reason is not None else "")
            self._failed(number, step, why, error.seen)
            return TIMED_OUT
        except VirtmuxError as error:
            if self._as_json:
                self._say.failed(error.reason)
            seen = error.seen if isinstance(error, ConsoleEnded) else b""
            self._failed(number, step, _why(error), seen)
            return error.reason.exit_status

    def _failed(self, number: int, step: Step, why: str, seen: bytes = b"") -> None:
        last = f"; last seen: {quoted(redacted_so_far(seen, self._script.secrets))}" if seen else ""
        self._say.complain(f"{self._script.name}, step {number}: {_what(step)}: {why}{last}")

    async def _do(self, number: int, step: Step, seconds: float) -> int:
        if step.wanted:
            return await self._expect(number, step, seconds)
        if step.sent:
            await send(self._console, step.sent, self._say, Pace(step.delay), seconds)
        elif step.wait == "attached":
            await self._attached(seconds)
        else:
            return print_end(await wait_ended(self._console, seconds), as_json=self._as_json)
        return 0

    async def _expect(self, number: int, step: Step, seconds: float) -> int:
        patterns = [*step.wanted, *step.unwanted]
        match = await expect(self._console, patterns, seconds, self._say)
        if self._as_json:
            status = write(match_json(match, self._redact, step=number))
        else:
            status = write(match_line(match, self._redact))
        unwanted = match.index - len(step.wanted)
        if unwanted < 0:
            return status
        text = pattern_text(step.unwanted[unwanted])
        self._failed(number, step, f"{text!r} came first")
        return FURTHER + unwanted + 1

    async def _attached(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await wait_attached(self._console, self._say, [])
        except TimeoutError:
            raise TimedOut("not attached", seconds, reason=self._console.progress.why) from None

    def _redact(self, data: bytes) -> bytes:
        return redacted(data, self._script.secrets)


def _what(step: Step) -> str:
    if step.wanted:
        return "expected " + " or ".join(repr(pattern_text(pattern)) for pattern in step.wanted)
    if step.wait is not None:
        return f"waited until {step.wait}"
    return f"sent {sum(len(each.data) for each in step.sent)} bytes"


def _why(error: VirtmuxError) -> str:
    why = reason_text(error.reason)
    if isinstance(error, InputRejected):
        why += f"; {rejected(error)}"
    if error.reason.cause is Cause.GUEST_NOT_RUNNING:
        why += '; a step `wait = "attached"` waits for it'
    return why
