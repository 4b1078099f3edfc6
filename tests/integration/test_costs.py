"""What virtmux costs, counted where it does not depend on how fast the machine is: the small forms of `make bench`.

Traced, the daemon is slow, so that more comes in one turn of its loop, and it makes fewer calls than untraced.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bench.peers.protocols import virtmux as client_of
from tests.bench.sink import Sink
from tests.bench.source import Source, write_flood
from tests.harness.container import remove_cgroups
from tests.harness.follower import boot, follow
from tests.harness.guest import BANNER
from tests.harness.libvirtd import Libvirtd
from tests.harness.system_calls import counted
from tests.integration.conftest import StartDaemon, StartGuest

CLIENTS = 8
MIB = 8
#: System calls for each MiB that a console prints: those of the daemon's loop in all, of which libvirt makes two for
#: each packet of a kilobyte and the bridge one; those that wait for more, and `send`, by each client. On a busy machine
#: the guest prints a few KiB at a time, for which the daemon has waited; on a quiet one it is a third of these two.
IN_ALL, WAITS, SENDS = 3000, 200, 120
#: Those calls that wait.
WAITING = ("epoll_wait", "epoll_pwait", "epoll_pwait2")
KEYS = 50
#: System calls for each keystroke and its echo, most of them of libvirt's client library; and those by which threads
#: wait and are woken, twice as often on a busy machine as on a quiet one.
PER_KEY, WAITS_PER_KEY = 16, 16
WAKING = (*WAITING, "futex", "read")
IDLE = 200
#: KiB for each client that does nothing; the least that the allocators take at a time.
IDLE_KIB, GRAIN_KIB = 20, 1024


@pytest.fixture
async def source(lxc: Libvirtd) -> AsyncIterator[Source]:
    """A container that prints as fast as it can."""
    write_flood(lxc.base / "costs-flood", MIB << 20)
    one = Source(lxc, lxc.base / "costs-flood")
    try:
        await one.start()
        yield one
        await one.guest.destroy()
        await one.guest.undefine()
    finally:
        remove_cgroups()


@pytest.mark.where_it_can_be_had
async def test_a_flood_is_brought_to_its_clients_in_few_system_calls(
    source: Source, daemon: StartDaemon, tmp_path: Path
) -> None:
    mux = await daemon(source.guest.libvirtd.uri, config=f'journal = "memory"\nring = {MIB << 20}\n')
    with Sink("virtmux", (str(mux.socket), source.guest.name), CLIENTS) as sink:
        sink.warm(source)
        async with counted(mux.pid, tmp_path / "calls") as counts:
            sink.say("take", str(MIB << 20))
            source.print("flood", MIB << 20)
            received, _ = sink.taken()

    calls = counts.calls
    assert received == [MIB << 20] * CLIENTS
    assert calls.total() <= IN_ALL * MIB, calls
    assert 0 < sum(calls[name] for name in WAITING) <= WAITS * MIB, calls
    assert 0 < calls["sendto"] <= SENDS * MIB * CLIENTS, calls


async def test_a_keystroke_and_its_echo_take_few_system_calls(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    echoing = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    async with follow(mux.socket, echoing.name) as client:
        await boot(echoing, client, says=BANNER)
        begun = client.console.position.offset
        async with counted(mux.pid, tmp_path / "calls") as counts:
            for number in range(1, KEYS + 1):
                await client.press(b"x")
                await client.until_offset(begun + number)

    calls = counts.calls
    waits = sum(calls[name] for name in WAKING)
    assert calls.total() - waits <= PER_KEY * KEYS, calls
    assert 0 < waits <= WAITS_PER_KEY * KEYS, calls
    assert calls["epoll_ctl"] + calls["io_uring_enter"] <= KEYS // 5, calls


async def test_clients_that_do_nothing_cost_little_memory(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    quiet = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always")
    clients = [client_of(str(mux.socket), quiet.name) for _ in range(IDLE)]
    before = mux.anonymous_kib
    clients += [client_of(str(mux.socket), quiet.name) for _ in range(IDLE)]
    grown = mux.anonymous_kib - before
    for client in clients:
        client.close()

    assert grown <= IDLE * IDLE_KIB + GRAIN_KIB
