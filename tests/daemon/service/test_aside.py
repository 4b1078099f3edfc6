"""What may hang is asked in a thread."""

import asyncio
import threading

import pytest

from virtmuxd.service.aside import in_thread

DEADLINE = 10.0


async def test_it_is_asked_in_a_thread_that_the_end_of_the_process_does_not_wait_for() -> None:
    async with asyncio.timeout(DEADLINE):
        thread = await in_thread(threading.current_thread, "asked")

    assert thread is not threading.current_thread()
    assert (thread.daemon, thread.name) == (True, "asked")


async def test_what_it_raises_is_raised_where_it_is_waited_for() -> None:
    def fail() -> None:
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        async with asyncio.timeout(DEADLINE):
            await in_thread(fail, "asked")


@pytest.mark.parametrize("fails", [False, True])
async def test_an_answer_that_nobody_waits_for_any_more_is_let_go(*, fails: bool) -> None:
    go_on, problems = threading.Event(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))

    def ask() -> None:
        go_on.wait(DEADLINE)
        if fails:
            raise LookupError("no")

    answer = in_thread(ask, "asked too long")
    answer.cancel()
    (thread,) = (each for each in threading.enumerate() if each.name == "asked too long")
    go_on.set()
    await asyncio.to_thread(thread.join, DEADLINE)
    await asyncio.sleep(0)  # what the thread asked of the loop is done in this turn

    assert answer.cancelled()
    assert problems == []
