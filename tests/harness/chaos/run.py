"""One chaotic run: everything happens for so long, then all becomes well, and the oracle judges."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import zip_longest
from math import inf
from pathlib import Path

import virtmux
from tests.harness.chaos.arena import JOURNAL_SIZE, VISITORS, Arena
from tests.harness.chaos.clients import Resident, Witness, resident, visit
from tests.harness.chaos.faults import DAEMON, HOST, Fault, befall, befall_guest
from tests.harness.chaos.oracle import Figures, Oracle, Story
from tests.harness.chaos.told import Heard
from tests.harness.follower import PATIENCE
from tests.harness.libvirtd import Libvirtd
from tests.harness.small_disk import small_disk
from virtmux import Position

GUESTS = 4
#: So many of a console's last bytes are in its journal, whatever is rotated away and however much its index takes.
STORED = JOURNAL_SIZE // 2
#: How long it may take until a console is attached once nothing hinders that, in seconds.
RECOVERS_WITHIN = 15.0


class ContradictionsError(AssertionError):
    """What clients were told is not what happened."""


async def chaos(directory: Path, seed: int, seconds: float, tell: Callable[[str], None]) -> Figures:
    """Let everything happen for so long. `seed` says what each does next; whose turn it is, is the machine's doing.

    Raises:
        ContradictionsError: the oracle has found some.
    """
    (directory / "disk").mkdir()
    with Libvirtd() as libvirtd, small_disk(directory / "disk", 64) as disk:
        arena = Arena(directory, libvirtd, disk, GUESTS, seed)
        async with opened(arena) as residents:
            await arena.take_stock()
            for ticker in arena.tickers:
                await ticker.guest.resume()
            over = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                let_happen(arena, residents, tasks, over, guest_pause=6.0, pause=6.0)
                for number in range(VISITORS):
                    tasks.create_task(visit(arena, arena.chance(f"visitor {number}"), over))
                await _watch(arena, seconds, tell)
                over.set()
            await become_well(arena, residents)
            await arena.take_stock()
            again = await _hear_all_again(arena)
        oracle = judge(arena, residents, again)
        if oracle.contradictions:
            raise ContradictionsError("\n".join([*oracle.contradictions, str(oracle.figures)]))
        return oracle.figures


@asynccontextmanager
async def opened(arena: Arena) -> AsyncIterator[list[Resident]]:
    """The daemon runs, and a resident is at the console of each guest, which has printed nothing yet."""
    async with AsyncExitStack() as stack:
        await arena.mux.start()
        stack.push_async_callback(arena.mux.close)
        stack.callback(lambda: print(arena.mux.log))  # shown where the test fails
        for ticker in arena.tickers:
            await ticker.guest.define()
            await ticker.start(paused=True)
            await arena.mux.until_listed(ticker.guest.name, running=True)
        residents = [await stack.enter_async_context(resident(arena.mux.socket, each)) for each in arena.tickers]
        for one in residents:
            await one.until_attached()
        yield residents


def let_happen(
    arena: Arena,
    residents: list[Resident],
    tasks: asyncio.TaskGroup,
    over: asyncio.Event,
    *,
    guest_pause: float,
    pause: float,
    daemon: Sequence[Fault] = DAEMON,
) -> None:
    """Begin what happens until it is over: faults after pauses of up to so many seconds, and what residents type."""
    for number, (ticker, one) in enumerate(zip(arena.tickers, residents, strict=True)):
        tasks.create_task(befall_guest(arena, ticker, arena.chance(f"guest {number}"), over, pause=guest_pause))
        tasks.create_task(one.type(arena.chance(f"resident {number}"), over))
    tasks.create_task(befall(arena, HOST, arena.chance("libvirtd"), over, pause=pause))
    tasks.create_task(befall(arena, daemon, arena.chance("virtmuxd"), over, pause=pause))


async def become_well(arena: Arena, residents: list[Resident]) -> None:
    """Nothing is done any more: every console takes input, and gives all that its guest has printed."""
    for ticker, one in zip(arena.tickers, residents, strict=True):
        await one.until_attached()
        await one.is_heard(PATIENCE)
        await ticker.guest.suspend()
        await one.until_output(ticker.end()[:-1])  # the last byte may not have come to the port


def judge(arena: Arena, residents: Sequence[Resident], again: Sequence[Heard] = ()) -> Oracle:
    """What the oracle says of all that was told; `again`: to those who came last."""
    oracle = Oracle(arena.deeds)
    oracle.contradictions += arena.leaks
    oracle.judge_visits(arena.turned_away)
    for ticker, one, last in zip_longest(arena.tickers, residents, again):
        story = Story(
            ticker.guest.name,
            ticker.printed(),
            one.heard,
            ticker.visitors,
            one.typed,
            last,
            kept=ticker.ring // 2,
            stored=STORED,
        )
        oracle.judge(story, RECOVERS_WITHIN)
    return oracle


async def _watch(arena: Arena, seconds: float, tell: Callable[[str], None]) -> None:
    """Wait so long, and tell how far it has come."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (left := end - loop.time()) > 0:
        await asyncio.sleep(min(left, 30.0))
        tell(f"{len(arena.deeds)} faults, {max(0.0, end - loop.time()):.0f} s are left")


async def _hear_all_again(arena: Arena) -> list[Heard]:
    """Somebody comes last to each console and asks for all of it."""
    again = []
    async with virtmux.connect(arena.mux.socket) as mux:
        for ticker in arena.tickers:
            async with mux.attach(ticker.guest.name, replay="all") as console, asyncio.timeout(PATIENCE):
                last = Witness("who came last", console)
                again.append(last.heard)
                end = Position.parse(console.place.info.position)
                while (console.position.offset, console.position.mark) < (end.offset, end.mark):
                    last.heard.records.append((inf, await anext(console)))
    return again
