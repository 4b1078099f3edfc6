"""An event loop that a test turns: time passes when it says so, and so does the work of threads."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

_T = TypeVar("_T")

_MANY_TURNS = 10_000


class SteppedLoop(asyncio.SelectorEventLoop):
    """asyncio's own, with a clock of its own that stands still."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        #: What callbacks failed with, which the loop would only log.
        self.failures: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.failures.append(context))

    def time(self) -> float:
        return self.now

    def do(self, call: Callable[[], _T]) -> _T:
        """Call it on the loop, and then settle."""

        async def called() -> _T:
            return call()

        outcome = self.run_until_complete(called())
        self.settle()
        return outcome

    def complete(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Carry it out on the loop; such time passes as it waits for."""
        task = self.create_task(work)
        self.settle()
        while not task.done():
            due = self._next_due()
            assert due is not None, "it waits for nothing that comes"
            self.let_pass(max(0.0, due - self.now))
        return task.result()

    def settle(self) -> None:
        """Turn until nothing is to be done any more before time passes."""
        for _ in range(_MANY_TURNS):
            self.call_soon(self.stop)
            self.run_forever()
            assert not self.failures, self.failures
            if not (self._ready or self._selector.select(0)):  # type: ignore[attr-defined]
                return
        raise AssertionError("it never comes to rest")

    def let_pass(self, seconds: float) -> None:
        """So much time passes; what falls due is done at its time."""
        end = self.now + seconds
        self.settle()
        while (due := self._next_due()) is not None and due <= end:
            self.now = max(self.now, due)
            self.settle()
        self.now = end
        self.settle()

    def _next_due(self) -> float | None:
        waiting = [timer.when() for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
        return min(waiting, default=None)


class SteppedThreads(Executor):
    """In the place of a pool of threads: what it is given is done at once, or, while it is `held_up`, when a test says
    so, one thing after the other."""

    def __init__(self) -> None:
        self.held_up = False
        self._works: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        future: Future[_T] = Future()
        self._works.append((future, lambda: fn(*args, **kwargs)))
        if not self.held_up:
            self.work()
        return future

    def work(self, number: int | None = None) -> None:
        """Do so much of what waits; None: all."""
        while self._works and number != 0:
            future, call = self._works.popleft()
            number = None if number is None else number - 1
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # noqa: BLE001  # as a thread of the pool would
                    future.set_exception(error)

    def hold_up(self, *, held_up: bool) -> None:
        """From now on nothing is done, or all."""
        self.held_up = held_up
        if not held_up:
            self.work()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002  # as the others'
        while self._works:
            self._works.popleft()[0].cancel()
