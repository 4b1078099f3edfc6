"""A file of steps for `virtmux expect --script`.

timeout = 60                       # seconds for each step that waits, unless it says otherwise

[[step]]
wait = "attached"                  # or "ended"

[[step]]
expect = "login: "                 # a regular expression, or a list of which one must match
fail = ["panic", "emergency mode"] # what must not come first: status 21, 22, ...
timeout = 300

[[step]]
send = "root"                      # or file = "...", key = "f2", secret-env = "NAME", secret-file = "..."
line = true                        # Enter behind it

Files are looked for beside the script.
"""

import asyncio
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from virtmux.console import Console
from virtmux.errors import ConsoleEnded, InputRejected, NotAttached, TimedOut, VirtmuxError
from virtmux.matching import Search
from virtmux_cli.attach_policy import TIMED_OUT
from virtmux_cli.attach_state import OtherHistory
from virtmux_cli.automation.console import (
    Where,
    at_console,
    passing,
    pattern_text,
    rejected,
    reported,
    shown,
    talk,
)
from virtmux_cli.automation.output import match_json, match_line, show
from virtmux_cli.automation.parts import Kind, Part, Piece, pieces, redacted
from virtmux_cli.automation.sending import Pace, send
from virtmux_cli.automation.wait import wait_attached, wait_ended
from virtmux_cli.talk import Talk
from virtmux_cli.text import json_line, reason_text

_TIMEOUT_S = 60.0
_FURTHER = 20
Seconds = Annotated[float, Meta(ge=0)]


class StepText(Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A step as it stands in the file."""

    expect: str | list[str] | None = None
    fail: str | list[str] = []
    send: str | None = None
    key: str | list[str] | None = None
    file: str | None = None
    secret_env: str | None = None
    secret_file: str | None = None
    wait: Literal["attached", "ended"] | None = None
    line: bool = False
    delay: Seconds = 0.0
    timeout: Seconds | None = None


class ScriptText(Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """The file."""

    step: list[StepText]
    timeout: Seconds | None = None
    terminal: Literal["xterm", "linux", "vt100"] = "xterm"


class Step(NamedTuple):
    """What is to be done: wait for one of `wanted` before one of `unwanted`, or send, or wait."""

    wanted: list[bytes]
    unwanted: list[bytes]
    sent: list[Piece]
    wait: Literal["attached", "ended"] | None
    delay: float
    seconds: float | None


class Script(NamedTuple):
    """What was read; `name` is the file."""

    name: str
    steps: list[Step]
    seconds: float | None
    secrets: list[Piece]


def load(path: Path) -> Script:
    """Read a script, and the secrets and files that it names.

    Raises:
        ValueError: the file or one of its steps cannot be used; in one line, with the step.
    """
    try:
        text = msgspec.toml.decode(path.read_bytes(), type=ScriptText)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}{_place(str(error))}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: no TOML: {error}") from error
    steps: list[Step] = []
    for number, each in enumerate(text.step, 1):
        try:
            steps.append(_step(each, path.parent, text.terminal))
        except ValueError as error:
            raise ValueError(f"{path}, step {number}: {error}") from error
    return Script(str(path), steps, text.timeout, [piece for step in steps for piece in step.sent if piece.secret])


def _place(error: str) -> str:
    """msgspec's message, with its path `$.step[2].timeout` in words."""
    what, _, path = error.partition(" - at `$")
    head, _, rest = path.removesuffix("`").partition("]")
    if not head.startswith(".step["):
        return f": {what}" + (f" (`{head.lstrip('.')}`)" if head else "")
    number = int(head.removeprefix(".step[") or 0) + 1
    return f", step {number}: {what}" + (f" (`{rest.lstrip('.')}`)" if rest else "")


def _step(text: StepText, beside: Path, terminal: str) -> Step:
    parts = _parts(text, beside)
    actions = [text.expect is not None, bool(parts), text.wait is not None]
    kinds = {part.kind for part in parts}
    if sum(actions) != 1 or len(kinds) > 1:
        raise ValueError("each step has exactly one of expect, send, key, file, secret-env, secret-file and wait")
    if (text.line or text.delay) and not parts:
        raise ValueError("`line` and `delay` belong to what is sent")
    if text.fail and text.expect is None:
        raise ValueError("`fail` belongs to `expect`")
    wanted, unwanted = _list(text.expect), _list(text.fail)
    if text.expect is not None:
        Search([*wanted, *unwanted])
        if not wanted:
            raise ValueError("`expect` names no pattern")
    sent = pieces(parts, line=text.line, terminal=terminal)
    return Step(wanted, unwanted, sent, text.wait, text.delay, text.timeout)


def _list(patterns: str | list[str] | None) -> list[bytes]:
    given = [patterns] if isinstance(patterns, str) else patterns or []
    return [each.encode() for each in given]


def _parts(text: StepText, beside: Path) -> list[Part]:
    keys = [text.key] if isinstance(text.key, str) else text.key or []
    parts = [Part(Kind.KEY, key) for key in keys]
    if text.send is not None:
        parts.append(Part(Kind.SEND, text.send))
    if text.file is not None:
        parts.append(Part(Kind.FILE, str(beside / text.file)))
    if text.secret_env is not None:
        parts.append(Part(Kind.HIDDEN_ENV, text.secret_env))
    if text.secret_file is not None:
        parts.append(Part(Kind.HIDDEN_FILE, str(beside / text.secret_file)))
    return parts


async def run(where: Where, script: Script, seconds: float | None, position: str | None, *, as_json: bool) -> int:
    """Do the steps, and return the exit status: that of the first step that fails."""
    say = talk(as_json=as_json)
    default = next(each for each in (seconds, script.seconds, _TIMEOUT_S) if each is not None)

    async def work() -> int:
        async with at_console(where, position) as console:
            if console.place.missing:
                say.missing(OtherHistory())
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
        except (TimedOut, VirtmuxError) as error:
            what, status = _what(step), TIMED_OUT
            if isinstance(error, TimedOut):
                why = f"not within {round(error.seconds, 2):g} s"
                why += f": {error.reason.text}" if error.reason is not None else ""
            else:
                why, status = reason_text(error.reason), error.reason.exit_status
            if isinstance(error, InputRejected):
                why += f"; {rejected(error)}"
            if isinstance(error, TimedOut | ConsoleEnded) and error.seen:
                why += f"; last seen: {shown(self._redact(error.seen))}"
            if isinstance(error, NotAttached):
                why += '; a step `wait = "attached"` waits for it'
            self._say.complain(f"{self._script.name}, step {number}: {what}: {why}")
            return status

    async def _do(self, number: int, step: Step, seconds: float) -> int:
        if step.wanted:
            return await self._expect(number, step, seconds)
        if step.sent:
            await send(self._console, step.sent, self._say, Pace(step.delay), seconds)
        elif step.wait == "attached":
            await self._attached(seconds)
        else:
            reason = await wait_ended(self._console, seconds)
            return show(json_line(reason) if self._as_json else f"{reason_text(reason)}\n".encode(errors="replace"))
        return 0

    async def _expect(self, number: int, step: Step, seconds: float) -> int:
        patterns = [*step.wanted, *step.unwanted]
        match = await self._console.expect(patterns, timeout=seconds, must_be_attached=True, notice=passing(self._say))
        if self._as_json:
            status = show(match_json(match, self._redact, step=number))
        else:
            status = show(match_line(match, self._redact))
        unwanted = match.index - len(step.wanted)
        if unwanted < 0:
            return status
        text = pattern_text(step.unwanted[unwanted])
        self._say.complain(f"{self._script.name}, step {number}: {_what(step)}, and {text!r} came first")
        return _FURTHER + unwanted + 1

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
