"""Turns of the loop, for tests that run on it: until something holds, or so many."""

import asyncio
from collections.abc import Callable

from tests.harness.follower import PATIENCE


async def until(true: Callable[[], object]) -> None:
    """Wait until something holds, of which nobody tells that it does.

    Raises:
        TimeoutError: it never did.
    """
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0)


async def turns(number: int = 20) -> None:
    """Let the loop turn, so that all comes that is on its way to a callback."""
    for _ in range(number):
        await asyncio.sleep(0)
