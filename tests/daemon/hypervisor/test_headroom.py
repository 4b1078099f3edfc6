"""File descriptors for connections: who finds too few is told so, and those that are being opened are counted."""

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtmuxd.hypervisor.headroom import Headroom


@pytest.fixture
def limit() -> Iterator[int]:
    """The limit, with room for one connection and what others open: 21 more than there are."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1 + 21  # one is of the list itself
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield limit
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_where_there_are_too_few_a_connection_is_not_tried(limit: int) -> None:
    headroom = Headroom()
    for _ in range(2):
        with headroom.opening():
            pass
    taken = os.open(os.devnull, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="Too many open files") as caught, headroom.opening():
            pytest.fail(f"with a limit of {limit}")
        assert caught.value.errno == errno.EMFILE
    finally:
        os.close(taken)


@pytest.mark.usefixtures("limit")
def test_what_is_being_opened_has_its_room_already() -> None:
    headroom = Headroom()
    with headroom.opening(), pytest.raises(OSError, match="Too many open files"), headroom.opening():
        pytest.fail("both")
    with headroom.opening():
        pass
