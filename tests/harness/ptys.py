"""Somebody who takes every PTY that comes free, as a host where many guests start does."""

import os
import pty
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

#: Seconds between two, and how many at most: each costs two descriptors.
_EVERY = 0.0005
_MOST = 300


@contextmanager
def takes_ptys() -> Iterator[None]:
    """PTYs are taken, one after another, until the context is left."""
    taken: list[int] = []
    enough = Event()

    def take() -> None:
        while len(taken) < 2 * _MOST and not enough.wait(_EVERY):
            taken.extend(pty.openpty())

    taker = Thread(target=take, name="takes PTYs")
    taker.start()
    try:
        yield
    finally:
        enough.set()
        taker.join()
        for fd in taken:
            os.close(fd)
