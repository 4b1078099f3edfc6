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

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from virtmux.matching import Search
from virtmux_cli.automation.parts import Kind, Part, Piece, pieces

Seconds = Annotated[float, Meta(ge=0)]
"""A length of time in a script."""


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
