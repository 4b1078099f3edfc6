"""The event loop of those who block, in its own thread: whoever waits for it is told when it is over."""

import asyncio
import atexit
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from queue import Queue

import pytest

from virtmux import loop_thread
from virtmux.loop_thread import LoopThread

LIMIT_S = 10
CLOSED = "the connection is closed: use it within `with virtmux.sync.connect()`"


def others() -> set[threading.Thread]:
    """All threads but this one."""
    return set(threading.enumerate()) - {threading.current_thread()}


class Waiting:
    """What waits for the loop for ever. `told` is what the thread that asked for it is told in the end."""

    def __init__(self) -> None:
        self.told: Queue[str] = Queue()
        self.begun = threading.Event()

    def ask(self, loop: LoopThread) -> None:
        """Wait in this thread."""
        try:
            loop.call(self._wait())
        except RuntimeError as error:
            self.told.put(str(error))

    def ask_elsewhere(self, loop: LoopThread) -> None:
        """Have another thread wait; it does when this returns."""
        threading.Thread(target=self.ask, args=(loop,), daemon=True).start()
        assert self.begun.wait(LIMIT_S)

    async def _wait(self) -> None:
        self.begun.set()
        await asyncio.Event().wait()


@pytest.fixture
def at_exit(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """What Python would call as it ends."""
    calls: list[Callable[[], None]] = []
    monkeypatch.setattr(atexit, "register", calls.append)
    return calls


@pytest.fixture
def for_ever(monkeypatch: pytest.MonkeyPatch) -> Queue[threading.Thread]:
    """The threads that would wait until Python has ended; here they go on."""
    threads: Queue[threading.Thread] = Queue()
    monkeypatch.setattr(loop_thread, "_wait_for_ever", lambda: threads.put(threading.current_thread()))
    return threads


def test_its_thread_says_whose_it_is_and_does_not_hold_up_the_programs_end() -> None:
    before = others()
    with LoopThread():
        assert [(thread.name, thread.daemon) for thread in others() - before] == [("virtmux-sync", True)]


def test_leaving_tells_who_still_waits_in_another_thread(for_ever: Queue[threading.Thread]) -> None:
    waiting = Waiting()
    with LoopThread() as loop:
        waiting.ask_elsewhere(loop)
    assert waiting.told.get(timeout=LIMIT_S) == CLOSED
    assert for_ever.empty()


def test_where_the_program_ends_without_having_left_other_threads_are_told_nothing_any_more(
    at_exit: list[Callable[[], None]], for_ever: Queue[threading.Thread]
) -> None:
    waiting = Waiting()
    with LoopThread() as loop:
        waiting.ask_elsewhere(loop)
        at_exit[0]()
        assert waiting.told.get(timeout=LIMIT_S) == CLOSED  # once it has waited for ever
        assert not for_ever.empty()


def test_the_main_thread_is_told_also_then_since_the_program_would_never_end(
    at_exit: list[Callable[[], None]], for_ever: Queue[threading.Thread]
) -> None:
    waiting = Waiting()

    def end() -> None:
        waiting.begun.wait(LIMIT_S)
        at_exit[0]()

    with LoopThread() as loop:
        ending = threading.Thread(target=end)
        ending.start()
        waiting.ask(loop)
        ending.join(LIMIT_S)
    assert waiting.told.get_nowait() == CLOSED
    assert for_ever.empty()


def test_what_does_not_close_is_waited_for_no_longer_than_closing_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_thread, "CLOSING_S", 0)
    go_on = threading.Event()

    @asynccontextmanager
    async def stuck() -> AsyncIterator[None]:
        yield
        go_on.wait(LIMIT_S)

    before = others()
    with LoopThread() as loop:
        (thread,) = others() - before
        with pytest.raises(TimeoutError), loop.entered(stuck()):
            pass
    assert thread.is_alive()
    go_on.set()
    thread.join(LIMIT_S)
    assert not thread.is_alive()
