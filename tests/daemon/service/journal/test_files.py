"""The files of a console: what is appended is there, segments rotate, and names are followed."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.console_files import (
    H1,
    H2,
    WEB,
    batch,
    console,
    failing,
    holds,
    home,
    kinds,
    mark,
    names,
    stopped,
    text,
)
from tests.harness.journal_files import Story, lines, read
from virtmuxd.service.journal.batches import Batch
from virtmuxd.service.journal.files import JournalConflictError

# Writing.


def test_nothing_is_touched_before_the_first_write(tmp_path: Path) -> None:
    files = console(tmp_path / "journal")

    assert files.open(H1, 0, 1, 1) == (0, 1)
    assert not (tmp_path / "journal").exists()


def test_the_log_is_the_bytes_and_nothing_else(tmp_path: Path) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)

    files.write([batch(0, 5), batch(5, 9)], [mark(1)], 2)
    files.write([batch(9, 300)], [], 3)

    assert (home(tmp_path) / "serial0.log").read_bytes() == text(0, 300)
    assert kinds(home(tmp_path) / "serial0.idx") == ["head", "batch", "batch", "mark", "batch"]
    assert files.position == (300, 2)
    holds(read(home(tmp_path))[H1], 0, 300)


def test_an_idle_console_has_no_descriptor(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 5)], [mark(1)], 2)

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_bytes_that_the_ring_did_not_hold_are_said_to_be_lost(tmp_path: Path) -> None:
    files = console(tmp_path)
    files.open(H1, 500, 1, 1)

    files.write([batch(100, 200), batch(300, 400)], [], 2, "the disk was slow")

    story = read(home(tmp_path))[H1]
    assert story.lost == [(0, 100, "the disk was slow"), (200, 300, "the disk was slow")]
    assert story.spans == [(100, text(100, 200)), (300, text(300, 400))]


def test_what_was_written_before_is_not_written_again(tmp_path: Path) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 10)], [mark(1)], 2)

    files.write([batch(0, 5), Batch(5, text(5, 20), 7, ((2, 0), (6, 10), (7, 20)))], [mark(1), mark(2)], 3)

    assert read(home(tmp_path))[H1].marks == {1: 0, 2: 0}
    holds(read(home(tmp_path))[H1], 0, 20)
    assert lines(home(tmp_path) / "serial0.idx")[-2]["beats"] == [[3, 10], [7, 20]]


def test_a_segment_is_rotated_before_it_becomes_too_large(tmp_path: Path) -> None:
    files = console(tmp_path, size=4096, keep=100)
    files.open(H1, 0, 1, 1)
    for begin in range(0, 20000, 250):
        files.write([batch(begin, begin + 250)], [mark(begin // 250 + 1, begin)], begin)

    sizes = [
        sum((home(tmp_path) / f"serial0.{kind}{number}").stat().st_size for kind in ("log", "idx"))
        for number in ("", ".0", ".1", ".2", ".3", ".4")
    ]
    assert max(sizes) <= 4096
    assert min(sizes[1:]) > 3000
    assert kinds(home(tmp_path) / "serial0.idx.0")[-1] == "closed"
    assert lines(home(tmp_path) / "serial0.idx.0")[-1]["why"] == "rotated"
    holds(read(home(tmp_path))[H1], 0, 20000)
    assert list(read(home(tmp_path))[H1].marks) == list(range(1, 81))


def test_a_batch_that_is_larger_than_a_segment_has_one_of_its_own(tmp_path: Path) -> None:
    files = console(tmp_path, size=2000)
    files.open(H1, 0, 1, 1)

    files.write([batch(0, 10), batch(10, 9000), batch(9000, 9010)], [], 2)

    assert [(home(tmp_path) / f"serial0.log{n}").stat().st_size for n in (".1", ".0", "")] == [10, 8990, 10]


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_so_many_segments_are_kept(tmp_path: Path, keep: int) -> None:
    files = console(tmp_path, size=1000, keep=keep)
    files.open(H1, 0, 1, 1)
    for begin in range(0, 5000, 500):
        files.write([batch(begin, begin + 500)], [], begin)

    kept = ["", *(f".{number}" for number in range(keep))]
    assert names(tmp_path) == sorted(f"serial0.{kind}{number}" for number in kept for kind in ("idx", "log"))
    holds(read(home(tmp_path))[H1], 5000 - 500 * (keep + 1), 5000)


def test_two_devices_of_a_guest_do_not_meet(tmp_path: Path) -> None:
    one = console(tmp_path, size=600, keep=1)
    other = console(tmp_path, size=600, keep=1, key=WEB._replace(device="serial0.log"))
    for files, history in ((one, H1), (other, H2)):
        files.open(history, 0, 1, 1)
    for begin in range(0, 3000, 300):
        one.write([batch(begin, begin + 300)], [], begin)
        other.write([batch(begin, begin + 300, H2)], [], begin)
    one.forget()

    assert names(tmp_path) == ["serial0.log.idx", "serial0.log.idx.0", "serial0.log.log", "serial0.log.log.0"]
    holds(read(home(tmp_path), "serial0.log")[H2], 2400, 3000, H2)


@pytest.mark.parametrize("sync", ["never", "close", "batch"])
def test_files_are_flushed_as_it_is_set(tmp_path: Path, sync: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: flushed.append(Path(f"/proc/self/fd/{fd}").readlink().name))
    files = console(tmp_path, size=2000, sync=sync)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 10)], [], 1)

    flushed.clear()
    files.write([batch(10, 600)], [], 2)
    batched = flushed[:]
    flushed.clear()
    files.write([batch(600, 1900)], [], 2)
    rotated = flushed[:]
    flushed.clear()
    files.stop(stopped(1900, 1))

    assert batched == (["serial0.log", "serial0.idx"] if sync == "batch" else [])
    assert ("serial0.idx" in rotated) == (sync != "never")
    assert flushed == ([] if sync == "never" else ["serial0.log", "serial0.idx"])


# Names.


def test_a_rename_is_said_and_the_next_segment_is_called_so(tmp_path: Path) -> None:
    files = console(tmp_path, size=1000)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 10)], [], 1)

    files.rename("shop", 2)
    files.write([batch(10, 20)], [], 3)
    assert kinds(home(tmp_path) / "serial0.idx") == ["head", "batch", "renamed", "batch"]
    assert (tmp_path / "shop" / "serial0.log").read_bytes() == text(0, 20)
    assert not (tmp_path / "web").is_symlink()
    files.write([batch(20, 1200)], [], 4)

    assert lines(home(tmp_path) / "serial0.idx")[0]["domain"] == "shop"


def test_a_rename_that_the_disk_did_not_take_is_said_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 10)], [], 1)
    with failing(monkeypatch, "write"), pytest.raises(OSError, match="No space"):
        files.rename("shop", 2)

    files.write([batch(10, 20)], [], 3)

    assert kinds(home(tmp_path) / "serial0.idx") == ["head", "batch", "renamed", "batch"]


def test_a_domain_that_was_renamed_while_the_daemon_was_down_is_called_so(tmp_path: Path) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 10)], [], 1)

    files = console(tmp_path, domain="shop")
    files.open(H1, 10, 1, 2)
    files.write([batch(10, 20)], [], 3)

    assert kinds(home(tmp_path) / "serial0.idx") == ["head", "batch", "opened", "renamed", "batch"]
    assert (tmp_path / "shop").is_symlink()


def test_what_is_forgotten_leaves_nothing_behind(tmp_path: Path) -> None:
    files = console(tmp_path, size=600)
    files.open(H1, 0, 1, 1)
    for begin in range(0, 3000, 300):
        files.write([batch(begin, begin + 300)], [], begin)
    (home(tmp_path) / "serial0.log.7.gz").write_bytes(b"logrotate made it")

    files.forget()

    assert [path for path in tmp_path.rglob("*") if path.name != "by-id"] == []
    files.write([batch(3000, 3010)], [], 5)
    holds(read(home(tmp_path))[H1], 3000, 3010)


def test_behind_what_is_forgotten_the_records_go_on(tmp_path: Path) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 300)], [mark(1), mark(2)], 1)

    files.forget(300, 3)
    files.write([batch(300, 310)], [mark(3, 310)], 5)

    head, *others = lines(home(tmp_path) / "serial0.idx")
    assert (head["offset"], head["mark"]) == (300, 3)
    assert [other["entry"] for other in others] == ["batch", "mark"], "nothing is lost that was not to be forgotten"


def test_a_console_that_was_never_used_leaves_nothing_behind(tmp_path: Path) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)

    files.stop(stopped(0, 1))

    assert list(tmp_path.iterdir()) == []


def test_the_segment_that_grows_can_be_dropped_and_the_journal_still_knows_where_it_is(tmp_path: Path) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 100)], [mark(1)], 1)

    assert files.drop_current(2)

    assert names(tmp_path) == ["serial0.idx", "serial0.log"]
    assert read(home(tmp_path))[H1].spans == []
    assert console(tmp_path).open(H1, 100, 2, 3) == (100, 2)


# Going on.


def test_a_daemon_that_comes_back_goes_on_in_the_same_segment(tmp_path: Path) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 100)], [mark(1)], 1)

    files = console(tmp_path)
    assert files.open(H1, 150, 3, 2) == (100, 2)
    files.write([batch(100, 150)], [mark(2, 150)], 3)

    assert names(tmp_path) == ["serial0.idx", "serial0.log"]
    holds(read(home(tmp_path))[H1], 0, 150)


def test_another_history_begins_another_segment(tmp_path: Path) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 100)], [mark(1)], 1)

    assert files.open(H2, 0, 1, 2) == (0, 1)
    files.write([batch(0, 50, H2)], [mark(1)], 3)

    assert lines(home(tmp_path) / "serial0.idx.0")[-1]["why"] == "a new history began"
    holds(read(home(tmp_path))[H1], 0, 100)
    holds(read(home(tmp_path))[H2], 0, 50, H2)


@pytest.mark.parametrize("place", [(99, 2), (100, 1)])
def test_a_ring_that_is_older_than_the_journal_cannot_go_on(tmp_path: Path, place: tuple[int, int]) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 100)], [mark(1)], 1)

    files = console(tmp_path)
    for _ in range(2):
        with pytest.raises(JournalConflictError):
            files.open(H1, *place, 2)

    assert lines(home(tmp_path) / "serial0.idx.0")[-1]["why"] == "its ring is older than it"
    assert files.open(H2, 0, 1, 3) == (0, 1)
    files.write([batch(0, 50, H2)], [], 3)
    holds(read(home(tmp_path))[H1], 0, 100)
    holds(read(home(tmp_path))[H2], 0, 50, H2)


# Against a model.

_STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "write", "skip", "mark", "again", "restart", "fail", "rename", "reboot"]),
              st.integers(1, 400)),
    max_size=30,
)  # fmt: skip


@settings(max_examples=150)
@given(_STEPS, st.sampled_from([700, 2000, 8 << 20]))
def test_it_holds_what_a_plain_model_holds(
    tmp_path_factory: pytest.TempPathFactory, steps: Sequence[tuple[str, int]], size: int
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    files = console(directory, size=size, keep=1000)
    files.open(H1, 0, 1, 1)
    end, number = 0, 1
    held: dict[int, int] = {}
    marks: dict[int, int] = {}

    def write(begin: int, to: int) -> None:
        files.write([batch(begin, to)], [], 1)

    for step, n in steps:
        match step:
            case "write":
                write(end, end + n)
                held.update(enumerate(text(end, end + n), end))
                end += n
            case "skip":
                end += n
            case "mark":
                files.write([], [mark(number, end)], 1)
                marks[number] = end
                number += 1
            case "again":
                write(max(0, files.position[0] - n), files.position[0])
            case "restart":
                before = files.position
                files = console(directory, size=size, keep=1000)
                assert files.open(H1, end, number, 1) == before
            case "reboot":
                files.stop(stopped(end, number))
                files = console(directory, size=size, keep=1000, boot=f"{n:032x}")
                files.open(H1, end, number, 1)
            case "rename":
                files.rename(f"web{n}", 1)
            case _:
                with (
                    pytest.MonkeyPatch.context() as patch,
                    failing(patch, "write", errno.ENOSPC, n % 2, n),
                    pytest.raises(OSError, match="No space"),
                ):
                    files.write([batch(end, end + n), batch(end + n, end + n + 1000)], [mark(number, end)], 1)
                begin = files.position[0]
                held.update(enumerate(text(end, max(end, begin)), end))
                end, number = max(end, begin), max(number, files.position[1])
                marks.update({each: end for each in range(1, number) if each not in marks})

    story = read(home(directory)).get(H1, Story())
    assert story.held() == held
    assert set(story.marks) == set(marks)
