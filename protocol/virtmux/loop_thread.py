"""An event loop in a thread of its own, for those who block: `virtmux.sync` does all its work there."""

import asyncio
import atexit
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Self, TypeVar

_T = TypeVar("_T")
CLOSING_S = 5.0
"""What closing a connection may take: its own second, and what a loaded host adds."""
_CLOSED = "the connection is closed: use it within `with virtmux.sync.connect()`"


class LoopThread:
    """An event loop in a thread of its own, while its context lasts, and never longer than the main thread."""

    def __init__(self) -> None:
        self._loop: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
        self._over = asyncio.Event()
        self._exiting = False
        self._thread = threading.Thread(target=self._run, name="virtmux-sync", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._loop.result()
        atexit.register(self._exit)
        return self

    def __exit__(self, *_: object) -> None:
        atexit.unregister(self._exit)
        self._stop()

    def _run(self) -> None:
        asyncio.run(self._stay())

    async def _stay(self) -> None:
        self._loop.set_result(asyncio.get_running_loop())
        await self._over.wait()

    def _exit(self) -> None:
        """The program ends without having left: only daemon threads can be waiting here now, and they end with it. Told
        an error they would print it while Python ends, which aborts the program where two of them meet at stderr."""
        self._exiting = True
        self._stop()

    def _stop(self) -> None:
        """Leave what is still entered, and end the thread."""
        self.soon(self._over.set)
        self._thread.join(CLOSING_S)

    @property
    def running(self) -> bool:
        """Whether anything can be asked of it."""
        return self._thread.is_alive() and threading.current_thread() is not self._thread

    def soon(self, call: Callable[[], object]) -> None:
        """Have the loop call this, if it still runs."""
        with contextlib.suppress(RuntimeError):  # it is closed
            self._loop.result().call_soon_threadsafe(call)

    def call(self, work: Coroutine[Any, Any, _T]) -> _T:
        """The result of a coroutine, which is cancelled where the thread that waits is interrupted.

        Raises:
            RuntimeError: the context was left, or this is the loop's own thread.
        """
        future = self._submit(work)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            if self._exiting and threading.current_thread() is not threading.main_thread():
                _wait_for_ever()
            raise RuntimeError(_CLOSED) from None
        except BaseException:
            future.cancel()
            raise

    def _submit(self, work: Coroutine[Any, Any, _T]) -> concurrent.futures.Future[_T]:
        if not self.running:
            work.close()
            raise RuntimeError(_CLOSED)
        return asyncio.run_coroutine_threadsafe(work, self._loop.result())

    @contextlib.contextmanager
    def entered(self, context: AbstractAsyncContextManager[_T]) -> Iterator[_T]:
        """An asynchronous context, entered and left by one task of the loop.

        Raises:
            RuntimeError: as `call`.
        """
        inside: concurrent.futures.Future[_T] = concurrent.futures.Future()
        leave = asyncio.Event()

        async def stay() -> None:
            try:
                async with context as value:
                    inside.set_result(value)
                    await leave.wait()
            except BaseException as error:
                if inside.done():
                    raise
                inside.set_exception(error)

        task = self._submit(stay())
        try:
            value = inside.result()
        except BaseException:
            task.cancel()
            raise
        try:
            yield value
        finally:
            if self.running:
                self.soon(leave.set)
                task.result(CLOSING_S)


def _wait_for_ever() -> None:
    threading.Event().wait()
