"""The daemon is killed again and again while a guest prints: clients miss nothing unnamed and get nothing twice."""

import asyncio
import random
import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from math import inf
from typing import NamedTuple

import pytest

from tests.harness.container import COUNT, COUNTED, GREETING, STOP_COUNTING
from tests.harness.counts import count, seed
from tests.harness.daemon import Daemon
from tests.harness.follower import Follower, follow
from tests.harness.guest import BANNER, FLOOD
from tests.harness.libvirtd import Libvirtd
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Attached, Break, Ended, Gap, Mark, MarkMessage, Output, PlaceEnded, Resumed

KILLS = count(5, 50)
CLIENTS = 20
#: Seconds; the daemon lives as long between two kills at the most. It and its clients need some 0.2 s to come back.
LIFE = 1.0
#: Bytes; all that is printed.
RING = 64 << 20
#: Bytes. What the guest's PTY held when the console was opened again comes first behind the break, and what is lost may
#: be lost behind that.
HELD = 16384
#: Seconds. QEMU looks once a second whether somebody reads, and until then drops what is not read quickly enough
#: (docs/libvirt.md, "Devices").
NOTICED = 3.0


class Counter(NamedTuple):
    """A guest that prints numbered lines: what it says first, what is typed to begin and to stop, and how it ends; and
    how long it may lose output once its console is opened, in seconds."""

    name: str
    first: bytes
    line: bytes
    begin: bytes
    stop: bytes
    last: bytes
    loses_for: float

    def text(self, lines: int) -> bytes:
        """All that it prints when it counts so far."""
        return self.first + b"".join(self.line % number for number in range(1, lines + 1)) + self.last


class Heard(NamedTuple):
    """What a client was given: pieces of output by their offsets, marks by their numbers, and gaps."""

    output: dict[int, bytes]
    marks: dict[int, tuple[int, Mark]]
    gaps: list[Gap]

    @classmethod
    def of(cls, client: Follower) -> "Heard":
        """Each record stands where the one before left off, over all connections."""
        heard = cls({}, {}, [])
        offset, mark = 0, 1
        for record in client.records:
            match record:
                case Output(offset=start, data=data):
                    assert start == offset
                    heard.output[offset] = data
                    offset += len(data)
                case MarkMessage(record=said):
                    assert (record.offset, record.mark) == (offset, mark)
                    heard.marks[mark] = offset, said
                    mark += 1
                case Gap():
                    assert (record.offset, record.mark) == (offset, mark)
                    heard.gaps.append(record)
                    offset, mark = record.to_offset, record.to_mark
                case Resumed():
                    assert record.continuous
                    assert (record.position.offset, record.position.mark) == (offset, mark)
                case PlaceEnded():
                    raise AssertionError(record)
                case _:
                    pass
        return heard


async def test_kills_under_the_output_of_a_guest_lose_nothing_outside_breaks(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, progress: Callable[[str], None]
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always", config=f"ring = {RING}\n")
    async with follow(mux.socket, guest.name) as first:
        await guest.resume()
        await first.until_output(BANNER)
    await _kill_again_and_again(
        mux, Counter(guest.name, BANNER, b"line %08d\r\n", FLOOD, b".", b".", NOTICED), progress
    )


@pytest.mark.where_it_can_be_had
async def test_kills_under_the_output_of_a_container_lose_nothing_outside_breaks(
    lxc: Libvirtd, start_talker: StartGuest, daemon: StartDaemon, progress: Callable[[str], None]
) -> None:
    guest = await start_talker(lxc)
    mux = await daemon(lxc.uri, attach="always", config=f"ring = {RING}\n")
    counter = Counter(guest.name, GREETING, b"line %08d\n", COUNT, STOP_COUNTING, COUNTED, 0.0)
    await _kill_again_and_again(mux, counter, progress)


async def _kill_again_and_again(mux: Daemon, guest: Counter, progress: Callable[[str], None]) -> None:
    moments = random.Random(seed())
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(follow(mux.socket, guest.name, position="0")) for _ in range(CLIENTS)
        ]
        for client in clients:
            await client.until_output(guest.first)
        await clients[0].write(guest.begin)
        for kill in range(KILLS):
            await asyncio.sleep(moments.uniform(0, LIFE))
            await mux.kill()
            await mux.start()
            progress(f"kill {kill} of {KILLS}, at offset {max(each.console.position.offset for each in clients)}")
        async with follow(mux.socket, guest.name, position="0") as witness:
            await witness.until_attached()
            await asyncio.sleep(guest.loses_for + LIFE)  # so that there is more than what may be lost
            await witness.write(guest.stop)
            await witness.until_last(guest.last)
            for client in clients:
                await client.until(lambda one: one.console.position == witness.console.position)
            reached = Heard.of(witness)

    assert not reached.gaps, "the ring holds it all"
    output = b"".join(reached.output.values())
    for client in clients:
        assert any(isinstance(record, Resumed) for record in client.records)
        heard = Heard.of(client)
        for offset, data in heard.output.items():
            assert output.startswith(data, offset)
        for number, mark in heard.marks.items():
            assert reached.marks[number] == mark
    marks = [mark for _, mark in reached.marks.values()]
    assert not any(isinstance(mark, Ended) for mark in marks), "no console ended, the daemon did"
    breaks = [offset for offset, mark in reached.marks.values() if isinstance(mark, Break)]
    assert 1 <= len(breaks) <= KILLS
    printed = guest.text(int(re.findall(rb"line (\d{8})\r?\n", output)[-1]))
    holes = _holes(output, printed)
    behind = [_behind(hole, breaks, clients[0]) for hole in holes]
    lost = len(printed) - len(output)
    figures = f"{len(printed)} bytes, {lost} of them lost at {len(breaks)} breaks, so far behind them: {behind}"
    print(figures)
    progress(figures)
    assert all(far <= HELD or seconds < guest.loses_for for far, seconds in behind), "lost outside a break"


def _behind(hole: int, breaks: list[int], client: Follower) -> tuple[int, float]:
    """How far behind the last break a hole is: in bytes, and in seconds as the client heard it."""
    far = hole - max((each for each in breaks if each <= hole), default=-RING)
    attached = -inf
    for at, record in zip(client.times, client.records, strict=True):
        match record:
            case MarkMessage(record=Attached()):
                attached = at
            case Output(offset=offset, data=data) if offset + len(data) > hole:
                return far, at - attached
            case _:
                pass
    return far, inf


def _holes(output: bytes, printed: bytes) -> list[int]:
    """Where in `output` something is missing of what was printed; all the rest is there, in order.

    Four lines are like no others. What is left between two holes may be less, and found elsewhere too: that it was
    printed somewhere in between is all that can be said of it.
    """
    holes: list[int] = []
    at = due = 0
    while True:
        same = _common(memoryview(output)[at:], memoryview(printed)[due:])
        at, due = at + same, due + same
        if at == len(output):
            assert due == len(printed)
            return holes
        rest = range(at, len(output))
        sure = next((each for each in rest if printed.find(output[each : each + 64], due) >= 0), len(output))
        found = printed.find(output[sure : sure + 64], due)
        between = iter(printed[due:found])
        assert all(byte in between for byte in output[at:sure]), f"the guest did not print this: {output[at:sure]!r}"
        holes += sorted({at, sure})
        at, due = sure, found


def _common(one: memoryview, other: memoryview) -> int:
    """How many bytes they have in common from the start."""
    most, step = min(len(one), len(other)), 4096
    same = next(
        (start for start in range(0, most, step) if one[start : start + step] != other[start : start + step]), most
    )
    return next((index for index in range(same, most) if one[index] != other[index]), most)
