"""What a daemon learns from the journal as it starts."""

import time
from pathlib import Path

import pytest

from tests.harness.console_files import BOOT, H1, NEXT_BOOT, WEB, batch, console, home, mark, stopped
from virtmuxd.service.journal.recovery import Recovered, recover, use_up
from virtmuxd.service.journal.settings import Settings


def recovered(directory: Path) -> Recovered:
    return recover(Settings(directory=directory))[WEB]


def test_where_nothing_was_journalled_nothing_is_known(tmp_path: Path) -> None:
    assert recover(Settings(directory=tmp_path)) == {}


def test_a_clean_stop_says_all_that_a_console_needs_to_go_on(tmp_path: Path) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 10)], [mark(1)], 1)
    files.stop(stopped(10, 2))

    assert recovered(tmp_path) == Recovered(H1, 10, 2, True, 1, -1, 0, 0, 1, 5, None, BOOT, "web")


def test_without_a_clean_stop_it_says_so(tmp_path: Path) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 10)], [mark(1)], 1)
    files.stop(stopped(10, 2))
    files = console(tmp_path, boot=NEXT_BOOT)
    files.open(H1, 10, 2, 1)
    files.write([batch(10, 15)], [], 1)

    assert recovered(tmp_path) == Recovered(H1, 15, 2, False, 1, -1, 0, 0, 1, 5, None, NEXT_BOOT, "web")


@pytest.mark.parametrize("damage", [b"", b"garbage", b"00000000 {}\n", bytes(4096)])
def test_an_index_that_cannot_be_read_is_left_out_with_a_warning(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    files = console(tmp_path, key=WEB._replace(device="serial1"))
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 10)], [], 1)
    (home(tmp_path) / "serial0.idx").write_bytes(damage)

    assert list(recover(Settings(directory=tmp_path))) == [WEB._replace(device="serial1")]
    assert len(caplog.records) == 1


def test_an_index_that_lies_where_another_belongs_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 10)], [], 1)
    home(tmp_path).rename(home(tmp_path).with_name("u-2"))

    assert recover(Settings(directory=tmp_path)) == {}
    assert len(caplog.records) == 1


def test_it_is_quick_however_long_the_index_is(tmp_path: Path) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    for begin in range(0, 200_000, 20_000):
        files.write([batch(at, at + 10) for at in range(begin, begin + 20_000, 10)], [], 1)
    files.rename("shop", 2)
    files.stop(stopped(200_000, 1))

    began = time.thread_time()
    for _ in range(20):
        recovered(tmp_path)
    took = (time.thread_time() - began) / 20

    found = recovered(tmp_path)
    assert (found.offset, found.domain, found.clean) == (200_000, "shop", True)
    assert took < 0.005, "a fraction of that, where nothing else runs"


def test_a_clean_stop_counts_once_from_before_anything_is_received(tmp_path: Path) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 10)], [mark(1)], 1)
    files.stop(stopped(10, 2))

    use_up(Settings(directory=tmp_path), WEB, NEXT_BOOT, 5)

    assert not recovered(tmp_path).clean
    assert console(tmp_path, boot=NEXT_BOOT).open(H1, 10, 2, 6) == (10, 2), "in this boot the history goes on"
