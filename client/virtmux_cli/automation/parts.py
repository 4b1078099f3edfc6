"""What the command line says is to be sent, in its order: texts, keys, files and secrets.

A secret is named by its file or its variable, so that it stands in no argument; what is shown of the console never
holds it.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, assert_never

import click

from virtmux_cli.automation.keys import TERMINALS, parse_key

#: The name of a file that stands for stdin.
STDIN = "-"
#: What the key sends.
ENTER = b"\r"
_MASK = b"***"
_META = "virtmux.parts"
_F = TypeVar("_F", bound=Callable[..., Any])


class Kind(StrEnum):
    """What a part is, named as its option."""

    TEXT = "text"
    SEND = "send"
    KEY = "key"
    FILE = "file"
    HIDDEN_FILE = "secret-file"
    HIDDEN_ENV = "secret-env"


class Part(NamedTuple):
    """A part of the input: a text itself, or the name of what is to be sent."""

    kind: Kind
    value: str


class Piece(NamedTuple):
    """Bytes to be sent. A `key` is sent at once, also where texts are sent in characters."""

    data: bytes
    key: bool = False
    secret: bool = False


def piece(part: Part, terminal: str = "xterm") -> Piece:
    """What a part stands for. A secret's last newline, which editors and `echo` leave, is no part of it.

    Raises:
        ValueError: it cannot be read: no such file, variable or key.
    """
    try:
        return _read(part, terminal)
    except OSError as error:
        raise ValueError(f"{part.value}: {error.strerror}") from error


def _read(part: Part, terminal: str) -> Piece:
    kind, value = part
    match kind:
        case Kind.TEXT | Kind.SEND:
            return Piece(os.fsencode(value))
        case Kind.KEY:
            return Piece(parse_key(value, terminal), key=True)
        case Kind.FILE:
            return Piece(_held_by(value))
        case Kind.HIDDEN_FILE:
            return Piece(_held_by(value).removesuffix(b"\n").removesuffix(b"\r"), secret=True)
        case Kind.HIDDEN_ENV:
            if value not in os.environ:
                raise ValueError(f"there is no environment variable {value!r} to take a secret from")
            return Piece(os.environb[os.fsencode(value)], secret=True)
        case _:
            assert_never(kind)


def _held_by(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()


def pieces(parts: Sequence[Part], *, line: bool, terminal: str = "xterm") -> list[Piece]:
    """The pieces of all parts; a blank between texts that follow each other. `line` puts Enter behind them all.

    Raises:
        ValueError: a part cannot be read.
    """
    sent: list[Piece] = []
    before: Kind | None = None
    for part in parts:
        if before is part.kind is Kind.TEXT:
            sent.append(Piece(b" "))
        sent.append(piece(part, terminal))
        before = part.kind
    return [*sent, Piece(ENTER, key=True)] if line else sent


def redacted(data: bytes, sent: Sequence[Piece]) -> bytes:
    """`data` without the secrets among what was sent, which the guest may have echoed."""
    for each in _secrets(sent):
        data = data.replace(each, _MASK)
    return data


def redacted_so_far(data: bytes, sent: Sequence[Piece]) -> bytes:
    """The same of `data` that may end within an echo."""
    data = redacted(data, sent)
    begun = max((_begun(data, each) for each in _secrets(sent)), default=0)
    return data[:-begun] + _MASK if begun else data


def _begun(data: bytes, secret: bytes) -> int:
    """How many bytes at the end of `data` are the secret's first ones."""
    return next((size for size in range(len(secret) - 1, 0, -1) if data.endswith(secret[:size])), 0)


def _secrets(sent: Sequence[Piece]) -> list[bytes]:
    """The longest first: one may hold another."""
    return sorted((each.data for each in sent if each.secret and each.data), key=len, reverse=True)


class InputCommand(click.Command):
    """Keeps the order of what is to be sent over texts and options: `send web1 --key esc :wq --key enter`.

    `texts`: arguments behind the first are texts to be sent.
    """

    texts = False

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the parts out of the arguments. What is left, also an option without its value, is for click."""
        ctx.meta[_META] = parts = list[Part]()
        return super().parse_args(ctx, list(self._without_parts(args, parts)))

    def _without_parts(self, args: Sequence[str], parts: list[Part]) -> Iterator[str]:
        takes_value = {name for param in self.params if _takes_value(param) for name in param.opts}
        waiting = iter(args)
        named, literal = not self.texts, False
        for arg in waiting:
            name, is_spelt, value = arg.partition("=")
            kind = _OPTIONS.get(name) if name in takes_value and not literal else None
            if kind is not None:
                given = value if is_spelt else next(waiting, None)
                if given is None:
                    yield arg
                else:
                    parts.append(Part(kind, given))
            elif arg == "--" and not literal:
                literal = True
                if not (self.texts and named):
                    yield arg
            elif arg.startswith("-") and arg != STDIN and not literal:
                yield arg
                if arg in takes_value and (given := next(waiting, None)) is not None:
                    yield given
            elif not self.texts or not named:
                named = True
                yield arg
            else:
                parts.append(Part(Kind.FILE if arg == STDIN and not literal else Kind.TEXT, arg))


class TextCommand(InputCommand):
    """One whose arguments behind the first are texts to be sent."""

    texts = True


_OPTIONS = {f"--{kind.value}": kind for kind in Kind if kind is not Kind.TEXT}


def given(ctx: click.Context) -> list[Part]:
    """The parts that the command line names, in their order."""
    parts: list[Part] = ctx.meta[_META]
    return parts


def input_options(command: _F) -> _F:
    """The options that say what is to be sent, and how."""
    for option in reversed(_INPUT_OPTIONS):
        command = option(command)
    return command


def _part_option(kind: Kind, metavar: str, text: str) -> Callable[[_F], _F]:
    return click.option(f"--{kind.value}", metavar=metavar, expose_value=False, help=text)


def _takes_value(param: click.Parameter) -> bool:
    return isinstance(param, click.Option) and not param.is_flag


_INPUT_OPTIONS = [
    click.option("--line", is_flag=True, help="Enter behind it all."),
    _part_option(Kind.KEY, "KEY", "A key: enter, f2, up, ctrl-c, alt-x, ..."),
    _part_option(Kind.FILE, "FILE", "What a file holds; - is stdin."),
    _part_option(Kind.HIDDEN_FILE, "FILE", "A secret: what a file holds, without its last newline."),
    _part_option(Kind.HIDDEN_ENV, "NAME", "A secret: what an environment variable holds."),
    click.option(
        "--terminal",
        type=click.Choice(TERMINALS),
        default="xterm",
        show_default=True,
        help="Which terminal's keys.",
    ),
]
