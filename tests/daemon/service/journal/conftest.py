"""What the tests of one console's journal share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.recording import Disk, Recording, recording


@pytest.fixture
def disk() -> Iterator[Disk]:
    """The disk on which the console is written down."""
    with Disk().there() as disk:
        yield disk


@pytest.fixture
def record(tmp_path: Path, disk: Disk) -> Iterator[Recording]:
    """A console that has just appeared there."""
    with recording(tmp_path) as record:
        yield record
