"""How fast a client is read."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from virtmuxd.core.limits import LimitRules, Limits
from virtmuxd.service.intake import Intake


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The client's end and the daemon's."""
    client, daemon = socket.socketpair()
    with client, daemon:
        daemon.setblocking(False)
        yield client, daemon


async def read_all(intake: Intake, size: int) -> bytes:
    received = b""
    while len(received) < size:
        received += await intake.read()
    return received


async def test_without_a_rate_it_is_read_as_it_comes(pair: tuple[socket.socket, socket.socket]) -> None:
    client, daemon = pair
    client.sendall(bytes(40_000))
    assert await Intake(daemon, Limits(LimitRules()), window=10).read() == bytes(40_000)


async def test_beyond_the_rate_it_is_read_more_slowly_and_nothing_is_lost(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    client, daemon = pair
    sent = bytes(number % 251 for number in range(5000))
    intake, loop = Intake(daemon, Limits(LimitRules(input_rate=10_000)), window=3000), asyncio.get_running_loop()
    client.sendall(sent * 3)
    began = loop.time()

    assert await read_all(intake, 15_000) == sent * 3

    assert loop.time() - began > (15_000 - 10_000) / 10_000 - 0.02


async def test_after_a_pause_a_window_is_read_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    client, daemon = pair
    client.sendall(bytes(3001))
    assert len(await Intake(daemon, Limits(LimitRules(input_rate=1)), window=3000).read()) == 3000


async def test_another_rate_counts_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    client, daemon = pair
    limits = Limits(LimitRules(input_rate=1))
    intake = Intake(daemon, limits, window=1)
    client.sendall(bytes(3001))
    assert len(await intake.read()) == 1

    limits.rules = LimitRules()

    async with asyncio.timeout(10):
        assert await read_all(intake, 3000) == bytes(3000)


async def test_what_has_come_is_read_at_once_when_no_more_is_to_come(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    client, daemon = pair
    intake = Intake(daemon, Limits(LimitRules(input_rate=1)), window=1)
    client.sendall(bytes(3001))
    assert len(await intake.read()) == 1
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        rest = tasks.create_task(intake.read())
        await asyncio.sleep(0)
        intake.stop()
    assert rest.result() == bytes(3000)
    assert await intake.read() == b""


async def test_it_knows_when_something_came(pair: tuple[socket.socket, socket.socket]) -> None:
    client, daemon = pair
    intake = Intake(daemon, Limits(LimitRules()), window=1)
    intake.active_at = 0.0
    client.send(b"x")
    await intake.read()
    assert intake.active_at > 0
