"""A libvirtd under SIGSTOP, one of two: the other one's consoles never notice, no thread is lost, all comes back."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest

import virtmux
from tests.harness.counts import REPEAT, count
from tests.harness.daemon import Daemon
from tests.harness.echo import echoing, on_the_way, quiet_echoes
from tests.harness.follower import PATIENCE, Follower, follow, follow_all
from tests.harness.guest import Guest
from tests.harness.libvirtd import LOOK_AGAIN_S, Libvirtd
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Cause, Counters, InputRejected, NotAttached

#: Guests of the libvirtd that is frozen; each has four consoles.
GUESTS = count(3, 18)
DEVICES = tuple(f"serial{number}" for number in range(4))
MORE_DEVICES = "".join(f"<serial type='pty'><target port='{number}'/></serial>" for number in (1, 2, 3))
#: Within this the clients know, in seconds.
TOLD_WITHIN = 15.0
#: So often it is asked for in vain before it is thawed, and what it was then frozen for: longer than every deadline.
IN_VAIN = count(3, 6)
LONGEST = count(4, 60)
#: Until all is back after SIGCONT: it is asked for again at intervals that have grown meanwhile.
BACK_WITHIN = 90.0
#: More than the window: so much is on its way to each console when its libvirtd hangs.
PASTE = b"p" * 65536


@pytest.fixture
def deadlines(tmp_path: Path) -> list[str]:
    """Short ones, in the order of the defaults, except in `make repeat`, where it is those that have to hold."""
    config = tmp_path / "deadlines.toml"
    short = "keepalive_interval = 1\nkeepalive_count = 2\ncall_deadline = 2\nfence_deadline = 2\nfence_patience = 4\n"
    config.write_text("linger = 0\n" + ("" if REPEAT else short))
    return ["--config", str(config)]


async def start_guests(libvirtd: Libvirtd, boot_guest: StartGuest) -> list[Guest]:
    """Guests with four consoles each."""
    return [await boot_guest(libvirtd, extra_devices=MORE_DEVICES) for _ in range(GUESTS)]


def places(guests: list[Guest]) -> list[tuple[str, str]]:
    """The consoles of the guests."""
    return [(guest.name, device) for guest in guests for device in DEVICES]


async def until_known(mux: Daemon, guests: list[Guest]) -> None:
    """Wait until the daemon has looked at all of the guests, which may take it longer than an attach waits for it."""
    wanted = set(places(guests))
    async with asyncio.timeout(PATIENCE), virtmux.connect(mux.socket) as client, aclosing(client.events()) as events:
        async for event in events:
            if isinstance(event, virtmux.Event):
                wanted.discard((event.console.domain, event.console.device))
            if not wanted:
                return


async def back(clients: list[Follower]) -> None:
    """Wait until every client is at an attached console again."""
    async with asyncio.timeout(BACK_WITHIN):
        for client in clients:
            await client.until_attached()


async def write(client: Follower, data: bytes) -> InputRejected | NotAttached | None:
    """Send input; gives why it did not all arrive."""
    try:
        await client.console.write(data)
    except (InputRejected, NotAttached) as rejected:
        return rejected
    return None


async def test_frozen_for_longer_than_every_deadline_it_harms_no_other_and_all_comes_back(
    libvirtd: Libvirtd,
    own_libvirtd: Libvirtd,
    boot_guest: StartGuest,
    daemon: StartDaemon,
    deadlines: list[str],
) -> None:
    sick = await start_guests(own_libvirtd, boot_guest)
    healthy = await boot_guest(libvirtd)
    mux = await daemon(own_libvirtd.uri, libvirtd.uri, arguments=deadlines)
    await until_known(mux, sick)
    loop = asyncio.get_running_loop()
    async with follow(mux.socket, healthy.name) as bystander, follow_all(mux.socket, places(sick)) as clients:
        await bystander.until_attached()
        await back(clients)
        quiet = await quiet_echoes(bystander, way=on_the_way(mux, healthy))
        async with echoing(bystander, on_the_way(mux, healthy)) as meanwhile, asyncio.TaskGroup() as tasks:
            own_libvirtd.freeze()
            frozen = loop.time()
            # A key and a paste have deadlines of their own.
            inputs = [b"k" if place % len(DEVICES) == 0 else PASTE for place in range(len(clients))]
            writing = [tasks.create_task(write(*each)) for each in zip(clients, inputs, strict=True)]
            for client in clients:
                reason = await client.until_ended()
                assert reason.cause is Cause.HYPERVISOR_TIMEOUT
                assert reason.retry.will_retry
            assert loop.time() - frozen < TOLD_WITHIN
            for done, data in zip(await asyncio.gather(*writing), inputs, strict=True):
                assert isinstance(done, InputRejected), "nobody has said that it arrived"
                assert done.reason.cause is Cause.HYPERVISOR_TIMEOUT
                assert (done.accepted, done.unknown + done.rejected) == (0, len(data))
            await mux.hypervisors()  # whoever asks has threads too
            threads = mux.threads
            await mux.until_logged(f"a hypervisor cannot be had uri='{own_libvirtd.uri}'", IN_VAIN, seconds=3 * LONGEST)
            assert loop.time() - frozen > LONGEST
            own_libvirtd.thaw()
            await back(clients)
        meanwhile.hold_against(quiet)
        assert not bystander.reasons
        for client in clients:
            assert len(client.reasons) == 1, "one end, whatever failed until all was back"
        counted = {row["uri"]: row["counters"] for row in await mux.hypervisors()}
        assert counted[own_libvirtd.uri]["ends"] == {"hypervisor-timeout": len(clients)}
        assert counted[own_libvirtd.uri]["stuck_calls"] == 0
        assert counted[libvirtd.uri] == msgspec.to_builtins(Counters())
        # Threads that were stuck do all the work again.
        for client in clients:
            await client.write(b"=back=")
        async with asyncio.timeout(PATIENCE):
            # Two may have come to the pool of the healthy one; who looks who it is that asks ends by itself.
            while mux.threads > threads + 2:
                await asyncio.sleep(LOOK_AGAIN_S)


async def test_the_loop_goes_on_with_much_on_its_way_on_shared_connections(
    libvirtd: Libvirtd, own_libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    sick = [await boot_guest(own_libvirtd, extra_devices=MORE_DEVICES) for _ in range(count(4, 18))]
    healthy = await boot_guest(libvirtd)
    config = tmp_path / "shared.toml"
    # A keepalive that would end it only after 30 s: until then nobody may wait but the frozen one's own clients.
    config.write_text(
        f'keepalive_interval = 1\nkeepalive_count = 30\n[[hypervisor]]\nuri = "{own_libvirtd.uri}"\npool = 1\n'
        f'[[hypervisor]]\nuri = "{libvirtd.uri}"\n'
    )
    mux = await daemon(arguments=["--config", str(config)])
    await until_known(mux, sick)
    async with follow(mux.socket, healthy.name) as bystander, follow_all(mux.socket, places(sick)) as clients:
        await bystander.until_attached()
        await back(clients)
        way = on_the_way(mux, healthy)
        quiet = await quiet_echoes(bystander, way=way)
        async with asyncio.TaskGroup() as tasks:
            own_libvirtd.freeze()
            pastes = [tasks.create_task(write(client, PASTE)) for client in clients]
            meanwhile = await quiet_echoes(bystander, 1500, way=way)  # some seconds, with a ping in each
            own_libvirtd.thaw()
            for each in pastes:
                each.cancel()
        meanwhile.hold_against(quiet)


async def test_stuck_calls_give_their_threads_back(
    libvirtd: Libvirtd,
    own_libvirtd: Libvirtd,
    boot_guest: StartGuest,
    daemon: StartDaemon,
    deadlines: list[str],
) -> None:
    sick = await start_guests(own_libvirtd, boot_guest)
    healthy = await boot_guest(libvirtd)
    mux = await daemon(own_libvirtd.uri, libvirtd.uri, arguments=deadlines)
    await until_known(mux, sick)
    async with follow(mux.socket, healthy.name) as bystander:
        await bystander.until_attached()
        async with follow_all(mux.socket, places(sick)) as clients:  # that starts as many threads as there may be
            await back(clients)
        before = mux.threads
        counted: list[int] = []
        for _ in range(count(2, 6)):
            for guest in sick:
                await mux.until_listed(guest.name, state="absent")
            own_libvirtd.freeze()
            # Each of these is an opening that hangs.
            async with follow_all(mux.socket, places(sick)) as clients:
                for client in clients:
                    why_not = client.console.place.reason
                    assert why_not is not None
                    assert why_not.cause is Cause.HYPERVISOR_TIMEOUT
                counted.append(mux.threads)
                async with follow(mux.socket, healthy.name) as other:
                    await other.until_attached()
                own_libvirtd.thaw()
                await back(clients)
                counted.append(mux.threads)
        threads = f"threads: {before} before, {counted} while frozen and thawed, in turns"
        print(threads)
        assert max(counted) <= before + 2, threads  # of the pool of the healthy one
        counters = {row["uri"]: row["counters"] for row in await mux.hypervisors()}
        assert counters[own_libvirtd.uri]["cuts"] > 0
        assert counters[own_libvirtd.uri]["stuck_calls"] == 0
        await mux.until_logged("a libvirt connection was cut: a call missed its deadline")
