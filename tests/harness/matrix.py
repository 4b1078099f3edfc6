"""The matrix's vocabulary: a `Row` says what happens to a console and what everybody at it is `Told`; `Scene` is where.

`play` is the test of a row. The tables are in tests/integration/test_matrix*.py.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tests.harness.command import Running, running
from tests.harness.daemon import Daemon
from tests.harness.follower import PATIENCE, Follower, follow
from tests.harness.guest import BANNER, Guest
from virtmux import Attached, Break, Cause, Ended, Mark, MarkMessage, Note, Output, Phase, Reason


@dataclass(frozen=True)
class Told:
    """What everybody at a console is told of its end; `virtmux attach --once` leaves with `exit_status`."""

    cause: Cause
    exit_status: int
    phase: Phase = Phase.RECEIVE
    #: Code and domain of the libvirt error that was saved, by name.
    error: tuple[str, str] | None = None
    #: Name and detail of the libvirt event that explains it.
    event: tuple[str, str | None] | None = None
    will_retry: bool = True


def told(reason: Reason) -> Told:
    """What the matrix holds of a Reason."""
    error, event = reason.error, reason.event
    return Told(
        reason.cause,
        reason.exit_status,
        reason.phase,
        error=(error.code_name, error.domain_name) if error else None,
        event=(event.name, event.detail) if event else None,
        will_retry=reason.retry.will_retry,
    )


MISSING = Told(Cause.CONSOLE_MISSING, 3, Phase.CLIENT, will_retry=False)
SHUTDOWN = Told(Cause.GUEST_SHUTDOWN, 10, event=("STOPPED", "SHUTDOWN"))
DESTROYED = Told(Cause.GUEST_DESTROYED, 10, event=("STOPPED", "DESTROYED"))
SAVED = Told(Cause.GUEST_SAVED, 10, event=("STOPPED", "SAVED"))
FAILED = Told(Cause.GUEST_FAILED, 11, event=("STOPPED", "FAILED"))
TAKEN_OVER = Told(Cause.CONSOLE_TAKEN_OVER, 8, error=("VIR_ERR_RPC", "VIR_FROM_STREAMS"))


@dataclass
class Scene:
    """A daemon and a running guest. Two library clients and one `virtmux attach --once` are at its console.

    A bystander is at the console of another guest, and must notice nothing.
    """

    mux: Daemon
    guest: Guest
    clients: tuple[Follower, Follower]
    command: "Watching"
    bystander: Follower

    async def virsh(self, command: str, *arguments: str | Path) -> str:
        """`virsh COMMAND` for the guest."""
        return await self.guest.libvirtd.virsh(command, self.guest.name, *arguments)

    async def reason(self) -> Reason:
        """Wait until each client has its reason; hold that it is the same one, behind the last byte; and give it."""
        first, second = [await client.until_ended() for client in self.clients]
        assert first == second
        for client in self.clients:
            assert first.offset == output_before_the_end(client)
        return first

    async def bystander_is_well(self) -> None:
        """The other console answers, and has noticed nothing."""
        seen = len(self.bystander.output)
        await self.bystander.write(b"still here")
        await self.bystander.until(lambda one: b"still here" in one.output[seen:])
        assert not self.bystander.reasons


@dataclass(frozen=True)
class Row:
    """One way in which a console ends."""

    name: str
    #: Entering it makes it happen; leaving it makes the console's return possible.
    happens: Callable[[Scene], AbstractAsyncContextManager[None]]
    told: Told
    #: What may be told instead.
    or_told: Told | None = None
    #: Whether the console is attached again by itself after `happens` was left.
    comes_back: bool = True
    #: What the guest needs: arguments of `boot_sector_guest`.
    guest: dict[str, Any] = field(default_factory=dict)
    #: The console's device; None for the first.
    device: str | None = None

    def __str__(self) -> str:
        return self.name


def decode(talk: str) -> Reason:
    """The last Reason that `virtmux attach --json` told."""
    return msgspec.json.decode(talk.splitlines()[-1], type=Reason)


async def refusal(mux: Daemon, *console: str) -> Reason:
    """Why `virtmux attach --once` is refused at a console, as it says; hold that its exit status says the same."""
    status, output, talk = await mux.run_client("attach", "--once", *console, "--json")
    reason = decode(talk)
    assert (status, output) == (reason.exit_status, b""), reason
    return reason


class Watching:
    """`virtmux attach --once` at a console, from the console's first byte; all that it says is read as it comes."""

    def __init__(self, running: Running, read: bytes, tasks: asyncio.TaskGroup) -> None:
        """`read` is what was read of its stdout."""
        process = running.process
        self._read = read
        assert process.stdout is not None
        assert process.stderr is not None
        self._out = tasks.create_task(process.stdout.read())
        self._err = tasks.create_task(process.stderr.read())
        self._process = process

    def kill(self) -> None:
        """End it by SIGKILL."""
        self._process.kill()

    async def end(self) -> tuple[int, bytes, str]:
        """Wait for its end: exit status, stdout, stderr behind the first line. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait(), self._read + await self._out, (await self._err).decode()


@asynccontextmanager
async def open_scene(
    mux: Daemon, guest: Guest, bystander: Follower, *, device: str | None = None
) -> AsyncIterator[Scene]:
    """Let the clients attach to a guest that was started paused, let it run, and wait until each has seen that.

    The boot-sector guest has its BANNER on its first serial port and prints nothing on other devices.
    """
    console = guest.name if device is None else f"{guest.name}:{device}"
    async with (
        follow(mux.socket, guest.name, device) as first,
        follow(mux.socket, guest.name, device) as second,
        running(mux.socket, "attach", console, "--once", "--json", "--from", "0") as command,
        asyncio.TaskGroup() as tasks,
    ):
        await first.until_attached()
        await guest.resume()
        for client in (first, second):
            await client.until_noted("resumed")
            await client.until_output(BANNER if device is None else b"")
        while '"resumed"' not in (line := await command.line()):
            assert line, "it has left"
        read = await command.read(len(BANNER)) if device is None else b""
        watching = Watching(command, read, tasks)
        try:
            yield Scene(mux, guest, (first, second), watching, bystander)
        finally:
            if command.process.returncode is None:
                command.process.kill()


async def play(row: Row, scene: Scene) -> Reason:
    """Let it happen, and hold that everybody is told the truth, once, and that nobody else notices; give the truth."""
    async with row.happens(scene):
        reason = await scene.reason()
        assert told(reason) in (row.told, row.or_told), reason
        status, output, talk = await scene.command.end()
        assert (status, output) == (row.told.exit_status, scene.clients[0].output[: reason.offset])
        assert decode(talk) == reason
        assert talk.count('"cause"') == 1
        await scene.bystander_is_well()
    for client in scene.clients:
        if row.comes_back:
            await client.until_attached()
            gap, attached = _marks_behind_the_end(client)
            assert isinstance(gap, Break)
            assert isinstance(attached, Attached)
            assert reason.console is not None
            starts = 1 if row.told.cause.startswith("guest-") else 0
            assert attached.incarnation == reason.console.incarnation + starts
        assert client.reasons == [reason], "one end is told once"
    return reason


def output_before_the_end(client: Follower) -> int:
    """The offset behind the last byte that came before the first `ended` mark."""
    offset = 0
    for record in client.records:
        if isinstance(record, MarkMessage) and isinstance(record.record, Ended):
            return offset
        if isinstance(record, Output):
            offset = record.offset + len(record.data)
    raise AssertionError("no end")


def _marks_behind_the_end(client: Follower) -> list[Mark]:
    """Without notes."""
    marks = [record.record for record in client.records if isinstance(record, MarkMessage)]
    behind = marks[marks.index(client.marks(Ended)[0]) + 1 :]
    return [mark for mark in behind if not isinstance(mark, Note)]
