"""Libvirt's own client, `virsh console`, on a terminal at a guest's console."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.harness.guest import Guest
from tests.harness.terminal import ESCAPE, Terminal


@asynccontextmanager
async def virsh_console(guest: Guest, *flags: str) -> AsyncIterator[Terminal]:
    """The client at the console, with these options; it has said so."""
    async with Terminal("virsh", ["-c", guest.libvirtd.uri, "console", guest.name, *flags]) as terminal:
        await terminal.until_connected()
        await terminal.expect(b" ^] (Ctrl + ])\r\n")
        yield terminal


@asynccontextmanager
async def held_by_virsh(guest: Guest) -> AsyncIterator[None]:
    """The client holds the console, and has held it to the last when the context is left."""
    async with virsh_console(guest) as holder:
        yield
        holder.send(ESCAPE)
        status, last_words = await holder.exit()
        assert status == 0, last_words
