"""The socket of a link, whose peer reads, or does not, or is gone."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.harness.scripted_daemon import DEADLINE_S
from virtmux.unixsocket import UnixSocket


@contextmanager
def connected(*, full: bool = False) -> Iterator[tuple[UnixSocket, socket.socket]]:
    """One, and its peer's; a `full` one takes nothing before the peer reads."""
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    peer.setblocking(False)
    with ours, peer:
        with suppress(BlockingIOError):
            while full:
                ours.send(b"-")
        yield UnixSocket(ours), peer


async def received(peer: socket.socket, size: int) -> bytes:
    """The next bytes that a peer reads, so many of them."""
    data = b""
    async with asyncio.timeout(DEADLINE_S):
        while len(data) < size:
            data += await asyncio.get_running_loop().sock_recv(peer, size - len(data))
    return data


async def test_what_it_does_not_take_at_once_is_sent_as_the_peer_reads() -> None:
    data = os.urandom(1 << 20)
    with connected() as (ours, peer):
        for begin in range(0, len(data), 300_000):
            ours.send(data[begin : begin + 300_000])
        draining = asyncio.gather(ours.drain())
        await asyncio.sleep(0)  # let it begin
        assert not draining.done()
        assert await received(peer, len(data)) == data
        await draining
        ours.send(b"and on")
        assert await received(peer, 6) == b"and on"


async def test_it_is_drained_while_64_kib_or_less_wait() -> None:
    with connected(full=True) as (ours, _):
        ours.send(bytes(65536))
        await ours.drain()
        ours.send(b"x")
        draining = asyncio.gather(ours.drain())
        await asyncio.sleep(0)  # let it begin
        assert not draining.done()
        await ours.close(0)
        await draining


async def test_closing_it_waits_for_a_peer_that_reads_and_for_another_as_long_as_is_said() -> None:
    with connected() as (ours, peer):
        ours.send(bytes(1 << 20))
        closing = asyncio.gather(ours.close(DEADLINE_S))
        assert len(await received(peer, 1 << 20)) == 1 << 20
        await closing
        assert peer.recv(1) == b""
    with connected(full=True) as (ours, _):
        ours.send(b"never read")
        await ours.close(0)


async def test_closed_it_drops_what_is_sent_and_may_be_closed_again() -> None:
    with connected() as (ours, peer):
        await ours.close(0)
        ours.send(b"too late")
        await ours.drain()
        await ours.close(0)
        assert peer.recv(1) == b""


async def test_where_the_peer_takes_no_more_what_it_said_last_is_read() -> None:
    with connected() as (ours, peer):
        peer.send(b"goodbye")
        peer.close()
        for _ in range(2):
            ours.send(bytes(1 << 20))
            await ours.drain()
        assert await ours.read() == b"goodbye"
        assert await ours.read() == b""
