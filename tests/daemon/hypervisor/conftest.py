"""What the tests of connections share."""

from collections.abc import AsyncIterator

import pytest

from tests.harness.fake_libvirt import FakeLibvirt
from virtmuxd.hypervisor.workers import Workers

QUOTA = 8


@pytest.fixture
async def hypervisor() -> AsyncIterator[FakeLibvirt]:
    """What the routes of these tests lead to."""
    async with FakeLibvirt().installed() as fake:
        yield fake


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    """The threads in which their calls are made."""
    workers = Workers(QUOTA, "test")
    yield workers
    workers.close()
