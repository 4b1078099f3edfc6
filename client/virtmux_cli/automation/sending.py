"""Sends pieces of input and waits until the guest's serial line has them, and says where they wait for the guest."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from virtmux.console import Console
from virtmux.errors import TimedOut, VirtmuxError
from virtmux_cli.attach.input_watch import Held, InputWatch
from virtmux_cli.attach.talk import Talk
from virtmux_cli.automation.parts import Piece


class Pace(NamedTuple):
    """`delay`: seconds between `size` characters; 0: all at once."""

    delay: float = 0.0
    size: int = 1


async def send(console: Console, pieces: Sequence[Piece], say: Talk, pace: Pace, seconds: float | None) -> None:
    """Send the pieces; returns once all was accepted.

    Raises:
        TimedOut: it was not within so many seconds.
        NotAttached, InputRejected, Refused: as `Console.write`.
    """
    failure: VirtmuxError | None = None
    deadline = asyncio.timeout(seconds)
    try:
        async with deadline, asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(_watch(console, say), name="watch")
            try:
                await _write(console, pieces, pace)
            except VirtmuxError as error:
                failure = error
            watching.cancel()
    except TimeoutError:
        size, accepted = sum(len(each.data) for each in pieces), 0
        if (state := console.input) is not None:
            accepted = state.accepted
            say.input_left(size - state.accepted - state.waiting + state.unsent, state.waiting - state.unsent)
        raise TimedOut(f"of {size} bytes of input {accepted} were accepted", seconds or 0.0) from None
    if failure is not None:
        raise failure


async def _write(console: Console, pieces: Sequence[Piece], pace: Pace) -> None:
    if not pace.delay:
        return await console.write(b"".join(each.data for each in pieces))
    first = True
    for chunk in chunks(pieces, pace.size):
        if not first:
            await asyncio.sleep(pace.delay)
        first = False
        await console.write(chunk)
    return None


def chunks(pieces: Sequence[Piece], size: int) -> Iterator[bytes]:
    """The pieces in so many characters each; a key is never cut, nor a character."""
    for each in pieces:
        if each.key:
            yield each.data
            continue
        text = each.data.decode(errors="surrogateescape")
        for at in range(0, len(text), size):
            yield text[at : at + size].encode(errors="surrogateescape")


async def _watch(console: Console, say: Talk) -> None:
    """Say that input waits because the guest, which is paused perhaps, takes none."""
    watch = InputWatch(keys=False)
    async with contextlib.aclosing(console.input_states()) as states:
        async for state in states:
            for news in watch.take(state):
                if isinstance(news, Held):
                    say.input_held(console.place.info.id.domain, news.waiting, news.accepted)
