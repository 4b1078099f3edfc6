"""`virsh console` and a command of virtmux, each on a terminal of its own, at the same guest in the same state."""

import itertools
import re
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.harness.daemon import PROGRAMS, Daemon
from tests.harness.guest import BANNER, POWER_OFF, Guest
from tests.harness.terminal import ESCAPE, Terminal

VIRSH = Path("virsh")
VIRTMUX = PROGRAMS / "virtmux"

#: What somebody does who is connected. The program ends by that, or by itself.
Act = Callable[[Terminal, Guest], Awaitable[None]]

#: What virsh says where a terminal has no polkit agent; nothing of it is the console's.
_AGENT = re.compile(rb"Authorization not available\.[^\n]*\n")
#: virsh 9.0 (Debian 12) says that it is connected before it tries; 11.3 (Debian 13) once it is, and so does virtmux.
_TOO_EARLY = re.compile(rb"Connected to domain [^\n]*\nEscape character is [^\n]*\n(?=error: )")
#: What is typed, six bytes, each time other ones: `attach` shows what was typed before.
_TYPED = re.compile(rb"<\d{4}>")
_numbers = itertools.count(1)
#: What `attach` tells of the past, before it comes to the present.
_PAST = re.compile(r"virtmux: ((at times )?nobody held the console.*|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: .*)")


def something() -> bytes:
    """What is typed now."""
    return b"<%04d>" % next(_numbers)


async def type_something(terminal: Terminal) -> bytes:
    """Somebody types something and sees the guest's answer; gives what was typed."""
    typed = something()
    terminal.send(typed)
    await terminal.expect(typed)
    return typed


async def leave(terminal: Terminal, _guest: Guest) -> None:
    """The same, and leaves."""
    await type_something(terminal)
    terminal.send(ESCAPE)


async def power_off(terminal: Terminal, guest: Guest) -> None:
    """Somebody powers the guest off from within. It is there again for the next."""
    await type_something(terminal)
    terminal.send(POWER_OFF)
    await guest.until("shut off (shutdown)")
    await guest.start()


async def shown(
    program: Path, arguments: Sequence[str], act: Act | None, guest: Guest, *, through: Sequence[str] = ()
) -> tuple[int, bytes]:
    """The exit status of a program, and all that a terminal shows of it, of an older virsh what a newer one shows.

    `through` is a command that runs it.
    """
    command = [*through, str(program), *arguments]
    async with Terminal(command[0], command[1:]) as terminal:
        if act is not None:
            await terminal.until_connected()
            await act(terminal, guest)
        status, _ = await terminal.exit()
        said = _AGENT.sub(b"", terminal.shown)
        return status, _TOO_EARLY.sub(b"", said) if program == VIRSH else said


def own_words(said: bytes) -> bytes:
    """What a program says itself, without what the guest said as it booted and echoed."""
    return _TYPED.sub(b"", said.replace(BANNER, b""))


@dataclass(frozen=True)
class Seen:
    """What a person sees of a program that is started and ends: what it says, and its exit status.

    `connected`: it begins with the two lines that say so. `says` are its other lines but those of the past; what is in
    braces is another at another guest.
    """

    status: int
    says: tuple[str, ...] = ()
    connected: bool = False

    @classmethod
    def of(cls, status: int, said: bytes, domain: str) -> "Seen":
        """What was seen of one that was to connect to this domain."""
        lines = [line for line in own_words(said).decode().split("\r\n") if line and not _PAST.fullmatch(line)]
        connected = lines[:2] == [f"Connected to domain '{domain}'", "Escape character is ^] (Ctrl + ])"]
        return cls(status, tuple(lines[2:] if connected else lines), connected)

    def at(self, names: Mapping[str, str]) -> "Seen":
        """The same at a guest of which this is so in `names`."""
        return Seen(self.status, tuple(line.format(**names) for line in self.says), self.connected)


@asynccontextmanager
async def nobody(_mux: Daemon, _guest: Guest) -> AsyncIterator[dict[str, str]]:
    """Nobody else is there."""
    yield {}


#: Those who are at the console meanwhile; the context gives names for what is seen of them.
Others = Callable[[Daemon, Guest], AbstractAsyncContextManager[dict[str, str]]]


@dataclass(frozen=True)
class Side:
    """One of the two programs: what it is `given` on its command line, with names in braces as in `Seen`; and what is
    seen of it."""

    given: str
    seen: Seen
    act: Act | None = None
    others: Others = nobody

    def words(self, names: Mapping[str, str]) -> list[str]:
        """The command line at a guest."""
        return [word.format(**names) for word in shlex.split(self.given)]

    def told(self, names: Mapping[str, str]) -> str:
        """All of it as a cell of a page: what is given, what is seen, and the exit status."""
        seen = self.seen.at(names)
        connected = ["connected"] if seen.connected else []
        said = [f"`` {line} ``" if "`" in line else f"`{line}`" for line in seen.says]
        return f"`{self.given.format(**names).rstrip()}`: {', '.join([*connected, *said, str(seen.status)])}"


@dataclass(frozen=True)
class Scenario:
    """Something that a test suite does with `virsh console`, and what becomes of it with `virtmux attach`.

    `variants` are the suite's names of it, or none. `guest` is the kind of guest.
    """

    name: str
    variants: str
    virsh: Side
    attach: Side
    attach_is: Literal["same", "better", "different"]
    guest: str = "plain"

    def __str__(self) -> str:
        return self.name
