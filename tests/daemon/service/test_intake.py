"""How fast a client is read."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
import uvloop

from virtmuxd.core.limits import LimitRules, LimitsInForce
from virtmuxd.service import intake as intake_module
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
    assert await Intake(daemon, LimitsInForce(LimitRules()), window=10).read() == bytes(40_000)


async def test_beyond_the_rate_it_is_read_more_slowly_and_nothing_is_lost(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    client, daemon = pair
    sent = bytes(number % 251 for number in range(5000))
    intake, loop = Intake(daemon, LimitsInForce(LimitRules(input_rate=10_000)), window=3000), asyncio.get_running_loop()
    client.sendall(sent * 3)
    began = loop.time()

    assert await read_all(intake, 15_000) == sent * 3

    assert loop.time() - began > (15_000 - 10_000) / 10_000 - 0.02


async def test_after_a_pause_a_window_is_read_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    client, daemon = pair
    client.sendall(bytes(3001))
    assert len(await Intake(daemon, LimitsInForce(LimitRules(input_rate=1)), window=3000).read()) == 3000


async def test_another_rate_counts_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    client, daemon = pair
    limits = LimitsInForce(LimitRules(input_rate=1))
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
    intake = Intake(daemon, LimitsInForce(LimitRules(input_rate=1)), window=1)
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
    intake = Intake(daemon, LimitsInForce(LimitRules()), window=1)
    intake.active_at = 0.0
    client.send(b"x")
    await intake.read()
    assert intake.active_at > 0


async def test_what_comes_while_nobody_reads_waits_in_the_socket_and_does_not_keep_the_loop_busy(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, daemon = pair
    loop = asyncio.get_running_loop()
    woken = 0
    readable = Intake._readable

    def counted(intake: Intake) -> None:
        nonlocal woken
        woken += 1
        readable(intake)

    monkeypatch.setattr(Intake, "_readable", counted)
    intake = Intake(daemon, LimitsInForce(LimitRules()), window=10)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(intake.read())
        await asyncio.sleep(0)
        client.send(b"one")
    assert waiting.result() == b"one"

    client.send(b"two")
    for _ in range(10):
        await asyncio.sleep(0)
    assert woken == 2

    assert await intake.read() == b"two"
    intake.stop_watching()
    assert not loop.remove_reader(daemon)


async def test_the_end_is_the_end_also_where_nobody_waited_for_it(pair: tuple[socket.socket, socket.socket]) -> None:
    client, daemon = pair
    intake = Intake(daemon, LimitsInForce(LimitRules()), window=10)
    client.send(b"last")
    client.shutdown(socket.SHUT_WR)

    assert [await intake.read() for _ in range(3)] == [b"last", b"", b""]


async def test_who_waits_no_more_leaves_nothing_behind(pair: tuple[socket.socket, socket.socket]) -> None:
    client, daemon = pair
    intake = Intake(daemon, LimitsInForce(LimitRules()), window=10)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await intake.read()
    client.send(b"late")

    assert await intake.read() == b"late"


def test_all_that_a_client_sent_before_it_was_killed_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's own loop tells of an error once."""
    monkeypatch.setattr(intake_module, "_READ", 1)
    received: list[bytes] = []

    async def killed_with_something_unread() -> None:
        client, daemon = socket.socketpair()
        with daemon:
            daemon.setblocking(False)
            intake = Intake(daemon, LimitsInForce(LimitRules()), window=3)
            daemon.send(b"output")
            client.send(b"ls -l")
            async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
                tasks.create_task(read_to_the_end(intake))
                await asyncio.sleep(0)
                client.close()

    async def read_to_the_end(intake: Intake) -> None:
        with suppress(ConnectionResetError):
            while data := await intake.read():
                received.append(data)
        intake.stop_watching()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(killed_with_something_unread())
    assert b"".join(received) == b"ls -l"
