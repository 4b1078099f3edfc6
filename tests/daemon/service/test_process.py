"""The daemon's own process."""

import os

from virtmuxd.service.process import process_info


def test_files_are_counted_without_the_one_that_counts_them() -> None:
    before = process_info().open_files
    descriptor = os.open("/dev/null", os.O_RDONLY)
    assert process_info().open_files == before + 1
    os.close(descriptor)
    assert process_info().open_files == before


def test_the_rest_is_plausible() -> None:
    told = process_info()
    assert told.open_files < told.max_files
    assert 1 << 20 < told.memory < 1 << 36
    assert 0 < told.cpu_seconds <= process_info().cpu_seconds
