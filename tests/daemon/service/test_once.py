"""A call that comes once."""

import asyncio

from virtmuxd.service.once import Once


async def test_it_comes_when_it_is_made_and_not_again() -> None:
    calls: list[None] = []
    once = Once(lambda: calls.append(None), seconds=0.01)
    once()
    once()
    await asyncio.sleep(0.02)
    assert len(calls) == 1


async def test_unmade_it_comes_after_its_time() -> None:
    called = asyncio.Event()
    once = Once(called.set, seconds=0.01)
    async with asyncio.timeout(10):
        await called.wait()
    called.clear()
    once()
    assert not called.is_set()
