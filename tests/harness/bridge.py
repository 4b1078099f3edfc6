"""What tests of the event bridge give it and ask of it."""

import asyncio
from collections.abc import Callable

import libvirt
import pytest

#: What a handle waits for; and how long (s) a test waits for another thread.
READABLE, WRITABLE = libvirt.VIR_EVENT_HANDLE_READABLE, libvirt.VIR_EVENT_HANDLE_WRITABLE
DEADLINE = 10.0


async def in_thread(work: Callable[[], object]) -> None:
    """Do it in another thread; the loop goes on meanwhile."""
    async with asyncio.timeout(DEADLINE):
        await asyncio.to_thread(work)


def ignore(*_: object) -> None:
    """A callback that is not looked at."""


def fail(*_: object) -> None:
    pytest.fail("a callback that was removed was called")
