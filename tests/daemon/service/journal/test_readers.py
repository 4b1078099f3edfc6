"""Reading in threads."""

import asyncio
import logging
import threading

import pytest

from virtmuxd.service.journal.readers import Readers


async def test_what_comes_back_once_the_consoles_are_being_closed_is_given_to_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    readers, begun, go_on = Readers(), threading.Event(), threading.Event()
    given: list[object] = []

    def read() -> None:
        begun.set()
        go_on.wait()
        raise ValueError("its ring is closed")

    readers.ask(read, given.append)
    await asyncio.to_thread(begun.wait)
    readers.stop()
    readers.ask(lambda: None, given.append)
    assert not readers.close()
    go_on.set()
    async with asyncio.timeout(10):
        while not readers.close():
            await asyncio.sleep(0.01)

    assert not given
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_whole_histories_are_looked_at_one_after_the_other_and_keep_nobody_from_reading_a_piece() -> None:
    readers, begun, go_on = Readers(), threading.Event(), threading.Event()
    looks = threading.Semaphore()
    given: list[object] = []

    def look() -> bool:
        alone = looks.acquire(blocking=False)
        begun.set()
        go_on.wait()
        looks.release()
        return alone

    for _ in range(8):
        readers.look(look, given.append)
    await asyncio.to_thread(begun.wait)
    read = asyncio.get_running_loop().create_future()
    readers.ask(lambda: "a piece", read.set_result)
    async with asyncio.timeout(10):
        assert await read == "a piece"
        assert given == []
        go_on.set()
        while len(given) < 8:
            await asyncio.sleep(0.01)
    assert given == [True] * 8
    assert readers.close()
