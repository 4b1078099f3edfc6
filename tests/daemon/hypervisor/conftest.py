"""What the tests of the event bridge and of connections share."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.harness.fake_libvirt import FakeLibvirt
from virtmuxd.hypervisor import bridge as bridge_module
from virtmuxd.hypervisor.bridge import EventBridge
from virtmuxd.hypervisor.workers import Workers


@pytest.fixture
async def hypervisor() -> AsyncIterator[FakeLibvirt]:
    """What the routes of these tests lead to."""
    async with FakeLibvirt().installed() as fake:
        yield fake


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    """The threads in which their calls are made."""
    workers = Workers(8, "test")
    yield workers
    workers.close()


@pytest.fixture
def freed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What libvirt was told to free."""
    freed: list[object] = []
    monkeypatch.setattr(bridge_module, "virEventInvokeFreeCallback", freed.append)
    return freed


@pytest.fixture
async def bridge(freed: list[object]) -> EventBridge:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)  # then a call from another thread raises
    return EventBridge(loop)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    for each in (ours, theirs):
        each.setblocking(False)
    with ours, theirs:
        yield ours, theirs
