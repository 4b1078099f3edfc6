"""The service manager's watchdog, fed by a loop that runs."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtmuxd.service.watchdog import feed, period


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listening:
        listening.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_half_of_what_the_watchdog_waits_lies_between_two_meals() -> None:
    assert period({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 7) == 15.0
    assert period({"WATCHDOG_USEC": "3000000"}, 7) == 1.5


def test_there_is_no_watchdog_without_a_service_manager_that_means_this_process() -> None:
    assert period({}, 7) is None
    assert period({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, 7) is None
    assert period({"WATCHDOG_USEC": "0"}, 7) is None
    assert period({"WATCHDOG_USEC": "soon"}, 7) is None


async def test_it_is_fed_again_and_again_while_all_is_well(manager: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        feeding = tasks.create_task(feed(0.001, lambda now: now >= 0))
        for _ in range(3):
            assert await loop.sock_recv(manager, 100) == b"WATCHDOG=1"
        feeding.cancel()


async def test_it_starves_while_not_all_is_well_and_that_is_told_once(
    manager: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    health = iter([False, False, True])
    recovered = asyncio.Event()

    def is_well(now: float) -> bool:
        assert abs(now - loop.time()) < 60
        well = next(health, True)
        if well:
            recovered.set()
        return well

    async with asyncio.TaskGroup() as tasks:
        feeding = tasks.create_task(feed(0.001, is_well))
        with pytest.raises(BlockingIOError):
            manager.recv(100)
        await recovered.wait()
        assert await loop.sock_recv(manager, 100) == b"WATCHDOG=1"
        feeding.cancel()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
