"""The matrix, hypervisors, daemon and clients: whatever fails, everybody at a console is told the truth, exactly once.

Two tables: how a hypervisor is lost and comes back, and why one cannot be had at all. Then what ends virtmuxd itself.
Deadlines are short here; that is configuration.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from tests.harness.daemon import Daemon
from tests.harness.follower import PATIENCE, Follower, follow
from tests.harness.guest import BANNER, FLOOD, boot_sector_guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.matrix import Row, Scene, decode, open_scene, play
from tests.harness.polkit import Polkit
from tests.harness.privilege import AS_NOBODY, BOUND
from tests.integration.conftest import StartGuest, guest_factory
from virtmux import Cause, Disconnected, Phase, Reason
from virtmux.reasons import CAUSES

pytestmark = pytest.mark.asyncio(loop_scope="module")

IMPATIENT = "keepalive_interval = 1\nkeepalive_count = 1\ncall_deadline = 2.0\n"


# How a hypervisor is lost: entered, it happens; left, it comes back.


@asynccontextmanager
async def stopped(scene: Scene) -> AsyncIterator[None]:
    scene.guest.libvirtd.stop()
    yield
    scene.guest.libvirtd.start()


@asynccontextmanager
async def killed(scene: Scene) -> AsyncIterator[None]:
    scene.guest.libvirtd.kill()
    yield
    scene.guest.libvirtd.start()


@asynccontextmanager
async def restarted_in_a_flood(scene: Scene) -> AsyncIterator[None]:
    await scene.clients[0].write(FLOOD)
    await scene.clients[0].until_output(b"line 00000100")
    scene.guest.libvirtd.stop()
    scene.guest.libvirtd.start()
    yield


@asynccontextmanager
async def frozen(scene: Scene) -> AsyncIterator[None]:
    scene.guest.libvirtd.freeze()
    try:
        yield
    finally:
        scene.guest.libvirtd.thaw()


LOSSES = [
    Row("libvirtd stopped in order", stopped, Cause.HYPERVISOR_LOST, exit_status=6, phase=Phase.CONNECTION),
    Row("libvirtd killed", killed, Cause.HYPERVISOR_LOST, exit_status=6, phase=Phase.CONNECTION),
    Row(
        "libvirtd restarted in a flood",
        restarted_in_a_flood,
        Cause.HYPERVISOR_LOST,
        exit_status=6,
        phase=Phase.CONNECTION,
    ),
    Row(
        "libvirtd hangs for longer than every deadline",
        frozen,
        Cause.HYPERVISOR_TIMEOUT,
        exit_status=6,
        phase=Phase.CONNECTION,
    ),
]


class Stage(NamedTuple):
    """What all rows share: a libvirtd that is lost, one that is not, and clients at a console of that."""

    sick: Libvirtd
    mux: Daemon
    bystander: Follower


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(libvirtd: Libvirtd) -> AsyncIterator[Stage]:
    with Libvirtd() as sick:
        mux = Daemon([sick.uri, libvirtd.uri], config=IMPATIENT)
        async with guest_factory(libvirtd, boot_sector_guest) as start:
            other = await start(libvirtd)
            await mux.start()
            try:
                async with follow(mux.socket, other.name) as bystander:
                    yield Stage(sick, mux, bystander)
            finally:
                await mux.close()


@pytest.mark.parametrize("row", LOSSES, ids=str)
async def test_a_lost_hypervisor_ends_its_consoles_and_comes_back_by_itself(row: Row, stage: Stage) -> None:
    async with guest_factory(stage.sick, boot_sector_guest) as start:
        guest = await start(stage.sick, state="paused")
        async with open_scene(stage.mux, guest, stage.bystander) as scene:
            await play(row, scene)
            seen = len(scene.clients[1].output)
            await scene.clients[0].write(b"back")
            await scene.clients[1].until(lambda one: b"back" in one.output[seen:])


# Why a hypervisor cannot be had.


@dataclass(frozen=True)
class Unreachable:
    """A hypervisor that cannot be had: what `virtmux attach` of a guest there says and ends with."""

    name: str
    #: Gives the URI, as long as it is entered; what it needs lies in a directory that it is given.
    leads_to: Callable[[Path], AbstractContextManager[str]]
    cause: Cause
    exit_status: int
    #: What libvirt says.
    message: str

    def __str__(self) -> str:
        return self.name


@contextmanager
def no_socket(directory: Path) -> Iterator[str]:
    yield f"qemu+unix:///system?socket={directory}/nobody"


@contextmanager
def silent_socket(directory: Path) -> Iterator[str]:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(directory / "silent"))
        listening.listen()
        yield f"qemu+unix:///system?socket={directory}/silent"


@contextmanager
def no_transport(_directory: Path) -> Iterator[str]:
    yield "qemu+nonsense:///system"


@contextmanager
def no_uri(_directory: Path) -> Iterator[str]:
    yield "qemu://[/system"


UNREACHABLE = [
    Unreachable("no socket", no_socket, Cause.HYPERVISOR_LOST, 6, "No such file or directory"),
    Unreachable("a socket that is silent", silent_socket, Cause.HYPERVISOR_TIMEOUT, 6, "does not answer"),
    Unreachable("a transport that libvirt does not have", no_transport, Cause.HYPERVISOR_LOST, 6, "transport"),
    Unreachable("not a URI", no_uri, Cause.HYPERVISOR_LOST, 6, "URI"),
]


async def refusal(mux: Daemon, *console: str) -> tuple[int, Reason]:
    """What `virtmux attach` of a console says when it is refused, and its exit status."""
    status, output, talk = await mux.run_client("attach", *console, "--json")
    assert output == b""
    return status, decode(talk)


@pytest.mark.parametrize("row", UNREACHABLE, ids=str)
async def test_why_a_hypervisor_cannot_be_had_is_said_to_whoever_attaches(row: Unreachable, tmp_path: Path) -> None:
    with row.leads_to(tmp_path) as uri:
        async with started(uri) as mux:
            status, reason = await refusal(mux, "web1")
            assert reason.cause is row.cause, reason
            assert row.message in reason.text
            assert status == reason.exit_status == row.exit_status


@asynccontextmanager
async def started(*uris: str, config: str = IMPATIENT, through: tuple[str, ...] = ()) -> AsyncIterator[Daemon]:
    """A virtmuxd, until the context is left."""
    mux = Daemon(uris, config=config, through=through)
    try:
        await mux.start()
        yield mux
    finally:
        print(mux.log)
        await mux.close()


async def test_a_driver_that_libvirtd_does_not_have_is_said_too(libvirtd: Libvirtd) -> None:
    async with started(libvirtd.uri.replace("qemu+", "nonsense+")) as mux:
        status, reason = await refusal(mux, "web1")
        assert (status, reason.cause) == (6, Cause.HYPERVISOR_LOST), reason
        assert "no connection driver available" in reason.text


async def test_a_second_uri_of_a_hypervisor_is_refused_and_the_first_serves(
    libvirtd: Libvirtd, boot_guest: StartGuest
) -> None:
    guest = await boot_guest(libvirtd)
    second = libvirtd.uri.replace("/libvirt-sock", "//libvirt-sock")
    async with started(libvirtd.uri, second) as mux:
        async with follow(mux.socket, guest.name) as client:
            await client.until_attached()
            assert client.console.place.info.id.uri in (libvirtd.uri, second)
        assert "a second URI of one hypervisor is not served" in mux.log


async def test_a_driver_without_consoles_says_so(tmp_path: Path) -> None:
    host = tmp_path / "host.xml"
    host.write_text(
        "<node><domain type='test'><name>web1</name><uuid>00000000-0000-4000-8000-000000000001</uuid>"
        "<memory>8192</memory><os><type>hvm</type></os><devices><console type='pty'/></devices></domain></node>"
    )
    async with started(f"test://{host}") as mux:
        status, reason = await refusal(mux, "web1")
        assert reason.cause is Cause.CONSOLE_UNSUPPORTED, reason
        assert reason.error is not None
        assert reason.error.code_name == "VIR_ERR_NO_SUPPORT"
        assert status == reason.exit_status == 3


async def test_a_socket_that_may_not_be_opened_denies_until_it_may(
    own_libvirtd: Libvirtd, boot_guest: StartGuest
) -> None:
    guest = await boot_guest(own_libvirtd)
    own_libvirtd.close_door()
    async with started(own_libvirtd.uri, through=BOUND) as mux:
        status, reason = await refusal(mux, guest.name)
        assert reason.cause is Cause.HYPERVISOR_DENIED, reason
        assert "Permission denied" in reason.text
        assert status == reason.exit_status == 4
        own_libvirtd.open_door()
        async with following_once_known(mux, guest.name) as client:
            await client.until_attached()


@asynccontextmanager
async def following_once_known(mux: Daemon, domain: str) -> AsyncIterator[Follower]:
    """A follower of a console that the daemon does not know yet."""
    events = await mux.client("events", "--json")
    assert events.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            while not any(row.get("id", {}).get("domain") == domain for row in await mux.consoles()):
                assert await events.stdout.readline()
    finally:
        events.terminate()
        await events.communicate()
    async with follow(mux.socket, domain) as client:
        yield client


POLKIT = [
    pytest.param("no", "access denied by policy", id="polkit says no"),
    pytest.param("auth_admin", "no polkit agent available", id="polkit wants a password"),
    pytest.param(None, "org.freedesktop.PolicyKit1 was not provided", id="no polkitd"),
]


@pytest.mark.where_it_can_be_had
@pytest.mark.parametrize(("answer", "message"), POLKIT)
async def test_polkit_denies_until_it_allows(answer: str | None, message: str, boot_guest: StartGuest) -> None:
    missing = Polkit.missing()
    if missing is not None:
        pytest.skip(missing)
    with Polkit(answer) as polkit, Libvirtd(bus=polkit.bus) as libvirtd:
        guest = await boot_guest(libvirtd)
        async with started(libvirtd.uri, through=AS_NOBODY) as mux:
            status, reason = await refusal(mux, guest.name)
            assert reason.cause is Cause.HYPERVISOR_DENIED, reason
            assert message in reason.text
            assert status == reason.exit_status == 4
            if answer is not None:
                polkit.answer("yes")
                async with following_once_known(mux, guest.name) as client:
                    await client.until_attached()


# virtmuxd and its clients.


@pytest.mark.parametrize(
    ("end", "cause"),
    [(Daemon.stop, Cause.SERVER_STOPPING), (Daemon.kill, Cause.SERVER_LOST)],
    ids=["SIGTERM", "SIGKILL"],
)
async def test_the_end_of_virtmuxd_is_told_and_is_no_end_of_the_console(
    end: Callable[[Daemon], Awaitable[object]], cause: Cause, libvirtd: Libvirtd, boot_guest: StartGuest
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    async with (
        started(libvirtd.uri) as mux,
        follow(mux.socket, guest.name) as bystander,
        open_scene(mux, guest, bystander) as scene,
    ):
        await end(mux)
        status, output, talk = await scene.command.end()
        reason = decode(talk)
        assert (status, reason.exit_status, reason.cause) == (5, 5, cause)
        assert output == BANNER
        for client in scene.clients:
            await client.until(lambda one: any(isinstance(record, Disconnected) for record in one.records))
            (lost,) = [record for record in client.records if isinstance(record, Disconnected)]
            assert lost.reason.cause is cause
        await mux.start()
        for client in scene.clients:
            await client.until_attached()
            assert not client.reasons
        await scene.clients[0].write(b"back")
        await scene.clients[1].until_output(BANNER + b"back")


async def test_nobody_notices_a_client_that_disappears(libvirtd: Libvirtd, boot_guest: StartGuest) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    async with (
        started(libvirtd.uri) as mux,
        follow(mux.socket, guest.name) as bystander,
        open_scene(mux, guest, bystander) as scene,
    ):
        (before,) = [row["clients"] for row in await mux.consoles() if row.get("id", {}).get("domain") == guest.name]
        scene.command.kill()
        assert (await scene.command.end())[0] == -signal.SIGKILL
        await scene.clients[0].write(b"still here")
        for client in scene.clients:
            await client.until_output(BANNER + b"still here")
            assert not client.reasons
        (after,) = [row["clients"] for row in await mux.consoles() if row.get("id", {}).get("domain") == guest.name]
        assert after == before - 1


async def test_a_client_that_breaks_the_protocol_is_sent_away_alone(libvirtd: Libvirtd, boot_guest: StartGuest) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    async with (
        started(libvirtd.uri) as mux,
        follow(mux.socket, guest.name) as bystander,
        open_scene(mux, guest, bystander) as scene,
    ):
        reader, writer = await asyncio.open_unix_connection(str(mux.socket))
        writer.write(b"\xff\xff\xff\xff this is no frame")
        async with asyncio.timeout(PATIENCE):
            said = await reader.read()
        assert b'"goodbye"' in said
        assert b'"protocol-error"' in said
        assert CAUSES[Cause.PROTOCOL_ERROR].exit_status == 12
        writer.close()
        await scene.clients[0].write(b"still here")
        for client in scene.clients:
            await client.until_output(BANNER + b"still here")
            assert not client.reasons
