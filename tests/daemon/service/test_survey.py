"""What is asked before the hypervisors were looked at: it waits for that, for so long, and not all of too much."""

import asyncio
from functools import partial

from virtmuxd.core.registry import Registry
from virtmuxd.service.outgoing import MAX_ANSWERS
from virtmuxd.service.survey import Survey

URI = "qemu:///system"


async def test_of_a_new_daemon_all_wait_and_later_only_who_needs_what_has_just_changed() -> None:
    registry = Registry()
    survey, answered = Survey(registry), list[str]()
    registry.expect(URI)
    survey.once_made(lambda: answered.append("first"))
    survey.once_current(lambda: answered.append("second"))
    assert answered == []
    registry.surveyed(URI)
    assert answered == ["first", "second"]

    registry.expect(URI)
    survey.once_current(lambda: answered.append("fourth"))
    survey.once_made(lambda: answered.append("third"))
    assert answered[2:] == ["third"]
    registry.surveyed(URI)
    assert answered[3:] == ["fourth"]


async def test_who_is_not_told_in_time_is_answered_all_the_same() -> None:
    registry, answered = Registry(), asyncio.Event()
    registry.expect(URI)
    Survey(registry).once_made(answered.set, seconds=0.01)
    async with asyncio.timeout(10):
        await answered.wait()


async def test_who_asks_for_too_much_is_answered_at_once_until_others_were() -> None:
    registry = Registry()
    survey, answered = Survey(registry), list[int]()
    registry.expect(URI)
    for number in range(MAX_ANSWERS + 1):
        survey.once_made(partial(answered.append, number))
    assert answered == [MAX_ANSWERS]
    registry.surveyed(URI)
    assert len(answered) == MAX_ANSWERS + 1

    registry.expect(URI)
    survey.once_current(lambda: answered.append(-1))
    assert answered[-1] >= 0
    registry.surveyed(URI)
