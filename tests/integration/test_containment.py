"""Nothing that is sick harms anything else: the loop, other hypervisors, the threads, and what is held over time."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.harness.follower import follow
from tests.harness.guest import FLOOD
from tests.harness.libvirtd import Libvirtd
from tests.harness.system_calls import traced
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Cause


@pytest.fixture
def quick(tmp_path: Path) -> list[str]:
    """Arguments for a daemon that lets go at once, and finds out soon that a hypervisor hangs."""
    config = tmp_path / "virtmuxd.toml"
    config.write_text("linger = 0\nkeepalive_interval = 1\nkeepalive_count = 2\ncall_deadline = 2\n")
    return ["--config", str(config)]


async def test_nothing_blocks_the_loop(
    libvirtd: Libvirtd,
    own_libvirtd: Libvirtd,
    boot_guest: StartGuest,
    daemon: StartDaemon,
    quick: list[str],
) -> None:
    flooding, ending, visited = [await boot_guest(libvirtd) for _ in range(3)]
    sick = await boot_guest(own_libvirtd)
    mux = await daemon(libvirtd.uri, own_libvirtd.uri, arguments=quick, watched=True)
    async with AsyncExitStack() as stack:
        flooded = await stack.enter_async_context(follow(mux.socket, flooding.name))
        at_the_end = await stack.enter_async_context(follow(mux.socket, ending.name))
        at_the_sick = await stack.enter_async_context(follow(mux.socket, sick.name))
        for one in (flooded, at_the_end, at_the_sick):
            await one.until_attached()
        await mux.watch.arm()
        async with traced(mux.pid, mux.directory / "trace") as trace:
            await flooded.write(FLOOD)
            await flooded.until(lambda one: one.console.position.offset > 100_000)
            for _ in range(4):
                async with follow(mux.socket, visited.name) as visitor:
                    await visitor.until_attached()
                    await visitor.echo(b"knock")
            await ending.destroy()
            await at_the_end.until_ended()
            await ending.start()
            await at_the_end.until_attached()
            own_libvirtd.freeze()
            assert (await at_the_sick.until_ended()).cause is Cause.HYPERVISOR_TIMEOUT
            own_libvirtd.thaw()
            await at_the_sick.until_attached()
        report = await mux.watch.report()
    assert report.calls > 1000, "the watch has seen the loop"
    assert not report.offences
    assert not report.over_budget
    assert not trace.blocking


async def test_a_planted_offender_is_caught_and_named(libvirtd: Libvirtd, daemon: StartDaemon, tmp_path: Path) -> None:
    mux = await daemon(libvirtd.uri, watched=True)
    await mux.watch.arm()
    async with traced(mux.pid, mux.directory / "trace") as trace:
        await mux.watch.plant()
    report = await mux.watch.report()
    named = {offence.split(" ")[0] for offence in report.offences}
    assert {
        "libvirtmod.virConnectOpen",
        "libvirtmod.virConnectGetLibVersion",
        "time.sleep",
        "subprocess.Popen",
        "socket.recv",
        "open",
        "os.fsync",
    } <= named
    assert all("in _offend (watched_daemon.py:" in offence for offence in report.offences)
    assert all(offence.endswith("called by _offend") for offence in report.offences)
    assert list(report.over_budget) == ["_offend"]
    calls = {line.partition("(")[0] for line in trace.blocking}
    assert {"fsync", "clock_nanosleep", "poll", "wait4"} <= calls
