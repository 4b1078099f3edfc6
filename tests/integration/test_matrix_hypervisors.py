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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from tests.harness.daemon import Daemon
from tests.harness.follower import PATIENCE, Follower, boot, follow
from tests.harness.guest import BANNER, FLOOD, boot_sector_guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.matrix import MISSING, Row, Scene, Told, decode, open_scene, play, refusal, told
from tests.harness.polkit import Polkit
from tests.harness.privilege import AS_NOBODY, BOUND
from tests.integration.conftest import StartGuest, guest_factory
from virtmux import Attached, Cause, Disconnected, Phase
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


@asynccontextmanager
async def control_connection_cut(scene: Scene) -> AsyncIterator[None]:
    control, *_ = await scene.guest.libvirtd.clients()
    await scene.guest.libvirtd.disconnect(control)
    yield


LOST = Told(Cause.HYPERVISOR_LOST, 6, Phase.CONNECTION)
TIMED_OUT = Told(Cause.HYPERVISOR_TIMEOUT, 6, Phase.CONNECTION)
DENIED = Told(Cause.HYPERVISOR_DENIED, 4, Phase.CONNECTION)

LOSSES = [
    Row("libvirtd stopped in order", stopped, LOST),
    Row("libvirtd killed", killed, LOST),
    Row("libvirtd restarted in a flood", restarted_in_a_flood, LOST),
    Row("the control connection cut, libvirtd being well", control_connection_cut, LOST),
    Row("libvirtd hangs for longer than every deadline", frozen, TIMED_OUT),
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
        guest, neighbour = [await start(stage.sick, state="paused") for _ in range(2)]
        async with (
            follow(stage.mux.socket, neighbour.name) as too,
            open_scene(stage.mux, guest, stage.bystander) as scene,
        ):
            await boot(neighbour, too, says=BANNER)
            await play(row, scene)
            await too.until(lambda one: len(one.marks(Attached)) == 2)
            assert [told(reason) for reason in too.reasons] == [row.told]
            for client in (scene.clients[0], too):
                seen = len(client.output)
                await client.write(b"back")
                await client.until(lambda one, seen=seen: b"back" in one.output[seen:])  # type: ignore[misc]


# Why a hypervisor cannot be had.


@dataclass(frozen=True)
class Unreachable:
    """A hypervisor that cannot be had: what somebody is told who attaches to a guest there."""

    name: str
    #: Gives the URI, as long as it is entered; what it needs lies in a directory that it is given.
    leads_to: Callable[[Path], AbstractContextManager[str]]
    told: Told
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


NO_SOCKET = replace(LOST, error=("VIR_ERR_SYSTEM_ERROR", "VIR_FROM_RPC"))
NO_TRANSPORT = replace(LOST, error=("VIR_ERR_INVALID_ARG", "VIR_FROM_REMOTE"))
NO_URI = replace(LOST, error=("VIR_ERR_INTERNAL_ERROR", "VIR_FROM_URI"))

UNREACHABLE = [
    Unreachable("no socket", no_socket, NO_SOCKET, "No such file or directory"),
    Unreachable("a socket that is silent", silent_socket, TIMED_OUT, "does not answer"),
    Unreachable("a transport that libvirt does not have", no_transport, NO_TRANSPORT, "transport"),
    Unreachable("not a URI", no_uri, NO_URI, "URI"),
]


@pytest.mark.parametrize("row", UNREACHABLE, ids=str)
async def test_why_a_hypervisor_cannot_be_had_is_said_to_whoever_attaches(row: Unreachable, tmp_path: Path) -> None:
    with row.leads_to(tmp_path) as uri:
        async with started(uri) as mux:
            reason = await refusal(mux, "web1")
            assert told(reason) == row.told
            assert row.message in reason.text


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
        reason = await refusal(mux, "web1")
        assert told(reason) == replace(LOST, error=("VIR_ERR_NO_CONNECT", "VIR_FROM_NONE"))
        assert "no connection driver available" in reason.text


async def test_a_second_uri_of_a_hypervisor_is_refused_and_the_first_serves(
    libvirtd: Libvirtd, boot_guest: StartGuest
) -> None:
    guest = await boot_guest(libvirtd)
    uris = {libvirtd.uri, libvirtd.uri.replace("/libvirt-sock", "//libvirt-sock")}
    async with started(*uris) as mux, follow(mux.socket, guest.name) as client:
        await client.until_attached()
        served = client.console.place.info.id.uri
        (refused,) = uris - {served}
        reason = await refusal(mux, guest.name, "--uri", refused)
        assert told(reason) == replace(DENIED, will_retry=False)
        assert f"{refused} leads to " in reason.text
        assert f"which is served as {served}" in reason.text
        assert len([row for row in await mux.consoles() if row["id"]["domain"] == guest.name]) == 1


HOST = """\
<node><domain type='test'><name>test</name><uuid>00000000-0000-4000-8000-000000000001</uuid>
<memory>8192</memory><os><type>hvm</type></os><devices><console type='pty'/></devices></domain></node>
"""


async def test_a_driver_without_consoles_says_so(tmp_path: Path) -> None:
    (tmp_path / "host.xml").write_text(HOST)
    async with started(f"test://{tmp_path}/host.xml") as mux:
        error = ("VIR_ERR_NO_SUPPORT", "VIR_FROM_DOMAIN")
        unsupported = Told(Cause.CONSOLE_UNSUPPORTED, 3, Phase.OPEN, error=error, will_retry=False)
        assert told(await refusal(mux, "test")) == unsupported
    async with started("test:///default") as mux:  # its only domain has no console in any case
        assert told(await refusal(mux, "test")) == MISSING


async def test_a_socket_that_may_not_be_opened_denies_until_it_may(
    own_libvirtd: Libvirtd, boot_guest: StartGuest
) -> None:
    guest = await boot_guest(own_libvirtd)
    own_libvirtd.close_door()
    async with started(own_libvirtd.uri, through=BOUND) as mux:
        reason = await refusal(mux, guest.name)
        assert told(reason) == replace(DENIED, error=NO_SOCKET.error)
        assert "Permission denied" in reason.text
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
    pytest.param("no", ("VIR_ERR_AUTH_FAILED", "VIR_FROM_POLKIT"), "access denied by policy", id="polkit says no"),
    pytest.param(
        "auth_admin",
        ("VIR_ERR_AUTH_UNAVAILABLE", "VIR_FROM_POLKIT"),
        "no polkit agent available",
        id="polkit wants a password",
    ),
    pytest.param(
        None, ("VIR_ERR_DBUS_SERVICE", "VIR_FROM_DBUS"), "org.freedesktop.PolicyKit1 was not provided", id="no polkitd"
    ),
]


@pytest.mark.where_it_can_be_had
@pytest.mark.parametrize(("answer", "error", "message"), POLKIT)
async def test_polkit_denies_until_it_allows(
    answer: str | None, error: tuple[str, str], message: str, boot_guest: StartGuest
) -> None:
    missing = Polkit.missing()
    if missing is not None:
        pytest.skip(missing)
    with Polkit(answer) as polkit, Libvirtd(bus=polkit.bus) as libvirtd:
        guest = await boot_guest(libvirtd)
        async with started(libvirtd.uri, through=AS_NOBODY) as mux:
            reason = await refusal(mux, guest.name)
            assert told(reason) == replace(DENIED, error=error)
            assert message in reason.text
            if answer is not None:
                polkit.answer("yes")
                async with following_once_known(mux, guest.name) as client:
                    await client.until_attached()


# virtmuxd and its clients.


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (Daemon.stop, Told(Cause.SERVER_STOPPING, 5, Phase.SERVER)),
        (Daemon.kill, Told(Cause.SERVER_LOST, 5, Phase.CONNECTION)),
    ],
    ids=["SIGTERM", "SIGKILL"],
)
async def test_the_end_of_virtmuxd_is_told_and_is_no_end_of_the_console(
    end: Callable[[Daemon], Awaitable[object]], expected: Told, libvirtd: Libvirtd, boot_guest: StartGuest
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    async with (
        started(libvirtd.uri) as mux,
        follow(mux.socket, guest.name) as bystander,
        open_scene(mux, guest, bystander) as scene,
    ):
        await end(mux)
        status, output, talk = await scene.command.end()
        assert (status, output) == (expected.exit_status, BANNER)
        assert told(decode(talk)) == expected
        for client in scene.clients:
            await client.until(lambda one: any(isinstance(record, Disconnected) for record in one.records))
            (lost,) = [record for record in client.records if isinstance(record, Disconnected)]
            assert told(lost.reason) == expected
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
