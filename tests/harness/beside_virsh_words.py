"""The words in which tests/harness/beside_virsh_suite.py is written: what somebody does at a console, who else is
there, and what is seen of `virsh console` and of `virtmux attach`.
"""

import os
import pwd
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.harness.beside_virsh import (
    Act,
    Others,
    Scenario,
    Seen,
    Side,
    leave,
    nobody,
    something,
    type_something,
)
from tests.harness.daemon import Daemon
from tests.harness.guest import Guest
from tests.harness.privilege import run_as_root
from tests.harness.terminal import ESCAPE, Terminal, at_terminal
from tests.harness.virsh_console import held_by_virsh, virsh_console

#: Ends the lines that say that it is connected.
_CONNECTED = b" ^] (Ctrl + ])\r\n"


def log_of(guest: Guest) -> Path:
    """Where QEMU logs what a plain guest's serial port says."""
    return guest.libvirtd.base / f"{guest.name}.log"


# What somebody does who is connected.


async def look(terminal: Terminal, _guest: Guest) -> None:
    """Leave once it is connected."""
    await terminal.expect(_CONNECTED)
    terminal.send(ESCAPE)


async def type_at_a_paused_guest(terminal: Terminal, guest: Guest) -> None:
    """Type, see the answer once the guest is resumed, and leave."""
    await terminal.expect(_CONNECTED)
    typed = something()
    terminal.send(typed)
    await guest.resume()
    await terminal.expect(typed)
    terminal.send(ESCAPE)


async def hear_that_it_is_paused(terminal: Terminal, guest: Guest) -> None:
    """Type, hear that the guest takes nothing, see the answer once it is resumed, and leave. An answer that comes
    before the line about that is written again behind it."""
    await terminal.expect(_CONNECTED)
    typed = something()
    terminal.send(typed)
    await terminal.expect(b"were accepted\r\n")
    await guest.resume()
    await terminal.expect(b"virtmux: guest resumed: UNPAUSED\r\n")
    await terminal.expect(typed)
    terminal.send(ESCAPE)


async def hear_who_is_there(terminal: Terminal, guest: Guest) -> None:
    """Hear that somebody else is there, type, and leave."""
    await terminal.expect(b" is attached too and may type\r\n")
    await leave(terminal, guest)


async def find_it_in_the_log(terminal: Terminal, guest: Guest) -> None:
    """Type, see that QEMU has logged it, and leave. A byte is logged once it was said, and before the next is."""
    typed = await type_something(terminal)
    await type_something(terminal)
    assert typed.decode() in run_as_root("cat", log_of(guest))
    terminal.send(ESCAPE)


async def be_displaced(terminal: Terminal, guest: Guest, told: bytes = b"error: ") -> None:
    """Type; then somebody else takes the console by force, and leaves once this one has been told."""
    await type_something(terminal)
    async with virsh_console(guest, "--force") as thief:
        await type_something(thief)
        await terminal.expect(told)
        thief.send(ESCAPE)
        assert (await thief.exit())[0] == 0


async def be_displaced_and_come_back(terminal: Terminal, guest: Guest) -> None:
    """The same; leave once the console is had again."""
    await be_displaced(terminal, guest, b"waiting to attach again\r\n")
    await terminal.expect(b"virtmux: attached again\r\n")
    await leave(terminal, guest)


# How the guest is, and who else is there.


@asynccontextmanager
async def paused(mux: Daemon, guest: Guest) -> AsyncIterator[dict[str, str]]:
    """The guest is paused, until it is resumed by what somebody does."""
    await guest.suspend()
    await mux.until_listed(guest.name, paused=True)
    yield {}


@asynccontextmanager
async def virsh_holds_it(_mux: Daemon, guest: Guest) -> AsyncIterator[dict[str, str]]:
    """Another `virsh console` is at the console, to the end."""
    async with held_by_virsh(guest):
        yield {}


@asynccontextmanager
async def virsh_has_it(_mux: Daemon, guest: Guest) -> AsyncIterator[dict[str, str]]:
    """Another one is there, and is displaced."""
    async with virsh_console(guest) as holder:
        await type_something(holder)
        yield {}
        status, last_words = await holder.exit()
        assert (status, b"error: stream had I/O failure" in last_words) == (1, True)


@asynccontextmanager
async def attach_is_there(mux: Daemon, guest: Guest) -> AsyncIterator[dict[str, str]]:
    """Another `virtmux attach` is at the console, to the end."""
    async with at_terminal(mux.socket, "attach", guest.name) as other:
        await other.expect(_CONNECTED)
        await type_something(other)
        yield {"other": f"{pwd.getpwuid(os.getuid()).pw_name} (pid {other.child.pid})"}
        await leave(other, guest)
        assert (await other.exit())[0] == 0


# What is seen of `virsh console`.


def connects(given: str = "{name}", *says: str, status: int = 0, act: Act = leave, others: Others = nobody) -> Side:
    """It connects, and says nothing by itself until it is left."""
    return Side(f"console {given}", Seen(status, says, connected=True), act, others)


def fails(given: str, says: str, *, others: Others = nobody) -> Side:
    """It says this."""
    return Side(f"console {given}", Seen(1, (f"error: {says}",)), others=others)


# What is seen of `virtmux attach`.


def attaches(given: str = "{name}", *says: str, act: Act = leave, others: Others = nobody) -> Side:
    """It connects, and says this until it is left."""
    return Side(f"attach {given}", Seen(0, (*says, "virtmux: detached"), connected=True), act, others)


def refuses(given: str, status: int, says: str, *, others: Others = nobody) -> Side:
    """It says this."""
    return Side(f"attach {given}", Seen(status, (f"virtmux: {says}",)), others=others)


def unknown(given: str, domain: str | None = None) -> Side:
    """It knows no such domain."""
    domain = given if domain is None else domain
    text = f"no domain '{domain}' with a console; 'virtmux list' shows what there is (console-missing)"
    return refuses(given, 3, text)


def misused(given: str, says: str) -> Side:
    """It does not understand its command line."""
    return refuses(given, 2, f"{says}; see `virtmux attach --help`")


def missing(device: str, only: str) -> Side:
    """It finds no such device of the guest, but others."""
    text = f"domain '{{name}}' has no console '{device}', only {only} (console-missing)"
    return refuses(f"{{name}}:{device}", 3, text)


# What is seen of either.


def both_connect(kind: str, name: str, variants: str, device: str | None) -> Scenario:
    """They connect to a device of a kind of guest, at which the guest says nothing by itself."""
    virsh = connects("{name}" if device is None else f"{{name}} --devname {device}", act=look)
    attach = attaches("{name}" if device is None else f"{{name}}:{device}", act=look)
    return Scenario(name, variants, virsh, attach, "same", kind)
