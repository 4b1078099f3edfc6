"""What was typed and not sent yet."""

import asyncio

import pytest

from virtmux_cli.attach.typeahead import Typeahead


async def test_it_gives_all_there_is_and_then_the_end() -> None:
    typeahead = Typeahead(65536)
    await typeahead.put(b"a")
    await typeahead.put(b"b")
    assert await typeahead.take() == b"ab"
    typeahead.close()
    assert await typeahead.take() == b""


async def test_it_is_bounded() -> None:
    typeahead = Typeahead(65536)
    await typeahead.put(bytes(65536))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await typeahead.put(b"x")
    assert await typeahead.take() == bytes(65536)
    await typeahead.put(b"x")


async def test_what_is_forgotten_makes_room() -> None:
    typeahead = Typeahead(65536)
    await typeahead.put(bytes(65536))
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(typeahead.put(b"x"))
        await asyncio.sleep(0)
        typeahead.clear()
    assert await typeahead.take() == b"x"
