"""The queue between a connection and its consumer."""

import asyncio

import pytest

from virtmux.inbox import Inbox


async def test_it_gives_what_was_put_in_order_and_adds_up_what_it_holds() -> None:
    inbox: Inbox[str] = Inbox()
    inbox.put("a", 3)
    inbox.put("b")
    assert inbox.cost == 4
    assert [await inbox.get(), await inbox.get()] == ["a", "b"]
    assert inbox.cost == 0


async def test_whoever_waits_gets_what_comes() -> None:
    inbox: Inbox[str] = Inbox()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        getting = tasks.create_task(inbox.get())
        await asyncio.sleep(0)
        inbox.put("late")
    assert getting.result() == "late"


async def test_cancelled_it_loses_nothing() -> None:
    inbox: Inbox[str] = Inbox()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await inbox.get()
    inbox.put("kept")
    assert await inbox.get() == "kept"
