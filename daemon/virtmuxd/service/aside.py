"""Something that may hang, asked in a thread that nobody waits for at the end of the daemon."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

_T = TypeVar("_T")


def in_thread(ask: Callable[[], _T], name: str) -> "asyncio.Future[_T]":
    """What `ask` gives, or raises, by and by; called on the loop. Whoever waits no longer may cancel the future."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[_T] = loop.create_future()

    def run() -> None:
        settle: Callable[[], None]
        try:
            settle = partial(answer.set_result, ask())
        except Exception as error:  # noqa: BLE001  # it is raised where the answer is waited for
            settle = partial(answer.set_exception, error)
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(_settle, answer, settle)

    threading.Thread(target=run, name=name, daemon=True).start()
    return answer


def _settle(answer: "asyncio.Future[_T]", settle: Callable[[], None]) -> None:
    if not answer.done():
        settle()
