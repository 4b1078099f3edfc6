"""What a daemon that died, or a machine, left in a console's files: what is read then is true, and goes on."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import CodeType

import pytest

from tests.harness.console_files import (
    BOOT,
    H1,
    H2,
    NEXT_BOOT,
    WEB,
    batch,
    console,
    holds,
    home,
    kinds,
    mark,
    names,
    snapshot,
    stopped,
    text,
)
from tests.harness.counts import samples
from tests.harness.deaths import deaths
from tests.harness.journal_files import Story, lines, read
from virtmuxd.service import journal
from virtmuxd.service.journal.files import ConsoleFiles
from virtmuxd.service.journal.recovery import recover
from virtmuxd.service.journal.settings import Settings

END, NUMBER = 14, 3


def written(directory: Path, *, clean: bool = False) -> None:
    """Two writes: offsets 0 to 14, marks 1 and 2."""
    files = console(directory)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 5)], [mark(1)], 1)
    files.write([batch(5, 9), batch(9, END)], [mark(2, 9)], 2)
    if clean:
        files.stop(stopped(END, NUMBER))


def _cut(data: bytes, at: int) -> bytes:
    return data[:at]


def _zero_all(data: bytes, at: int) -> bytes:
    return data[:at] + bytes(len(data) - at)


def _zero_one(data: bytes, at: int) -> bytes:
    return data[:at] + b"\0" + data[at + 1 :]


def damages(tmp_path: Path, damage: Callable[[bytes, int], bytes], name: str, *, clean: bool) -> Iterator[Path]:
    """The files with that damage at one byte after the other."""
    for at in samples(3):
        directory = tmp_path / str(at)
        written(directory, clean=clean)
        file = home(directory) / name
        data = file.read_bytes()
        if at >= len(data):
            return
        file.write_bytes(damage(data, at))
        yield directory


def expected(directory: Path) -> int:
    """Up to where everything verifies."""
    log, end, at = (home(directory) / "serial0.log").read_bytes(), 0, 0
    for line in lines(home(directory) / "serial0.idx"):
        if line["entry"] == "batch":
            if log[at : at + line["size"]] != text(end, end + line["size"]):
                break
            at += line["size"]
            end += line["size"]
    return end


DAMAGE = pytest.mark.parametrize("damage", [_cut, _zero_all, _zero_one])
FILE = pytest.mark.parametrize("name", ["serial0.idx", "serial0.log"])


@DAMAGE
@FILE
def test_within_a_boot_the_ring_fills_up_whatever_is_missing(
    tmp_path: Path, damage: Callable[[bytes, int], bytes], name: str
) -> None:
    for directory in damages(tmp_path, damage, name, clean=False):
        files = console(directory)
        offset, number = files.open(H1, END, NUMBER, 3)
        if offset < END:
            files.write([batch(offset, END)], [], 4)
        files.write([batch(END, 20)], [mark(n, 0 if n == 1 else 9) for n in range(number, NUMBER)], 4)

        story = read(home(directory))[H1]
        assert story.held(once=damage is _cut) == dict(enumerate(text(0, 20)))
        assert story.marks == {1: 0, 2: 9}


@pytest.mark.parametrize("at", range(END + 1))
def test_within_a_boot_a_log_that_ends_early_is_kept_as_it_is(tmp_path: Path, at: int) -> None:
    written(tmp_path)
    (home(tmp_path) / "serial0.log").write_bytes(text(0, at))

    files = console(tmp_path)
    assert files.open(H1, END, NUMBER, 3) == (at, NUMBER)
    assert names(tmp_path) == ["serial0.idx", "serial0.log"]
    story = read(home(tmp_path))[H1]
    holds(story, 0, at)
    assert story.marks == {1: 0, 2: 9}


@DAMAGE
@FILE
def test_after_another_boot_all_that_verifies_is_kept_and_closed(
    tmp_path: Path, damage: Callable[[bytes, int], bytes], name: str
) -> None:
    for directory in damages(tmp_path, damage, name, clean=False):
        true = expected(directory)

        files = console(directory, boot=NEXT_BOOT)
        assert files.open(H2, 0, 1, 3) == (0, 1)
        files.write([batch(0, 20, H2)], [mark(1)], 4)

        stories = read(home(directory))
        holds(stories.get(H1, Story()), 0, true)
        holds(stories[H2], 0, 20, H2)
        if H1 in stories:
            assert kinds(home(directory) / "serial0.idx.0")[-1] == "closed"
            assert (home(directory) / "serial0.log.0").read_bytes() == text(0, true)


@DAMAGE
@FILE
def test_after_a_clean_stop_and_another_boot_no_address_is_used_twice(
    tmp_path: Path, damage: Callable[[bytes, int], bytes], name: str
) -> None:
    for directory in damages(tmp_path, damage, name, clean=True):
        true = expected(directory)
        clean = [each for each in recover(Settings(directory=directory)).values() if each.clean]
        history, end, number = (clean[0].history, clean[0].offset, clean[0].mark) if clean else (H2, 0, 1)

        files = console(directory, boot=NEXT_BOOT)
        files.open(history, end, number, 3)
        files.write([batch(end, end + 6, history)], [], 4)

        stories = read(home(directory))
        if history == H1:
            assert (end, number) == (END, NUMBER)
            assert stories[H1].held() == dict(enumerate(text(0, true))) | dict(enumerate(text(END, END + 6), END))
        else:
            holds(stories.get(H1, Story()), 0, true)
            holds(stories[H2], 0, 6, H2)


def test_after_a_clean_stop_and_another_boot_the_history_goes_on(tmp_path: Path) -> None:
    written(tmp_path, clean=True)

    files = console(tmp_path, boot=NEXT_BOOT)
    assert files.open(H1, END, NUMBER, 3) == (END, NUMBER)
    files.write([batch(END, 20)], [], 4)

    assert names(tmp_path) == ["serial0.idx", "serial0.log"]
    assert kinds(home(tmp_path) / "serial0.idx")[-3:] == ["stopped", "opened", "batch"]
    holds(read(home(tmp_path))[H1], 0, 20)


def test_a_clean_stop_counts_once(tmp_path: Path) -> None:
    written(tmp_path, clean=True)
    console(tmp_path, boot=NEXT_BOOT).open(H1, END, NUMBER, 3)

    assert not recover(Settings(directory=tmp_path))[WEB].clean


def test_a_history_that_its_ring_vouches_for_goes_on_in_another_segment(tmp_path: Path) -> None:
    written(tmp_path)

    files = console(tmp_path, boot=NEXT_BOOT)
    assert files.open(H1, END, NUMBER, 3) == (END, NUMBER)
    files.write([batch(END, 20)], [], 4)

    assert lines(home(tmp_path) / "serial0.idx.0")[-1]["why"].startswith("the host was restarted")
    holds(read(home(tmp_path))[H1], 0, 20)


def test_what_a_copy_says_is_true_as_well(tmp_path: Path) -> None:
    written(tmp_path)
    log = home(tmp_path) / "serial0.log"
    copy = tmp_path / "copy"
    copy.write_bytes(log.read_bytes())
    copy.rename(log)

    files = console(tmp_path)
    assert files.open(H1, END, NUMBER, 3) == (END, NUMBER)
    files.write([batch(END, 20)], [], 4)

    assert names(tmp_path) == ["serial0.idx", "serial0.log"]
    assert lines(home(tmp_path) / "serial0.idx")[0]["inode"] == log.stat().st_ino
    holds(read(home(tmp_path))[H1], 0, 20)


# A death at any moment.


_SOURCES = str(Path(str(journal.__file__)).parent)
#: Only read, or are tried elsewhere: to die there is to die before them.
_ELSEWHERE = {"examination.py", "recovery.py", "settings.py", "links.py"}
_READING = {"segments", "_of_stem", "_segment", "_age", "read_head", "file", "look", "known", "pieces", "behind"}
_READING |= {
    "write",
    "_ready",
    "_append",
    "changed",
    "position",
    "size",
    "begun",
    "<listcomp>",
    "<genexpr>",
    "<dictcomp>",
    "<setcomp>",
    "_share",
    "grown",
}


def _is_tried(code: CodeType) -> bool:
    directory, _, file = code.co_filename.rpartition("/")
    return directory == _SOURCES and file not in _ELSEWHERE and code.co_name not in _READING


def _deaths(prepare: Callable[[], Callable[[], object]]) -> Iterator[None]:
    return deaths(prepare, _is_tried, beyond=20)


def test_a_death_within_a_write_that_rotates_loses_nothing(tmp_path: Path) -> None:
    directories = (tmp_path / str(number) for number in count())
    directory = tmp_path

    def prepare() -> Callable[[], object]:
        nonlocal directory
        directory = next(directories)
        files = console(directory, size=700, keep=100)
        files.open(H1, 0, 1, 1)
        files.write([batch(0, 200)], [mark(1)], 1)
        files.write([batch(200, 400)], [], 1)
        return lambda: files.write([batch(400, 450), batch(450, 700)], [mark(2, 400)], 2)

    for _ in _deaths(prepare):
        files = console(directory, size=700, keep=100)
        offset, number = files.open(H1, 700, 3, 3)
        assert offset >= 400
        assert number >= 2
        files.write([batch(offset, 700)] if offset < 700 else [], [mark(2, 400)], 3)
        files.write([batch(700, 705)], [], 4)
        story = read(home(directory))[H1]
        holds(story, 0, 705)
        assert (story.marks, story.lost) == ({1: 0, 2: 400}, [])


def test_a_death_while_files_are_opened_again_loses_nothing(tmp_path: Path) -> None:
    directories = (tmp_path / str(number) for number in count())
    directory = tmp_path

    def prepare() -> Callable[[], object]:
        nonlocal directory
        directory = next(directories)
        written(directory)
        log = home(directory) / "serial0.log"
        log.write_bytes(log.read_bytes()[:7])
        return lambda: console(directory).open(H1, END, NUMBER, 3)

    for _ in _deaths(prepare):
        files = console(directory)
        assert files.open(H1, END, NUMBER, 4) == (7, NUMBER)
        files.write([batch(7, END)], [], 4)
        story = read(home(directory))[H1]
        holds(story, 0, END)
        assert story.marks == {1: 0, 2: 9}


def test_a_death_while_another_history_begins_loses_nothing(tmp_path: Path) -> None:
    directories = (tmp_path / str(number) for number in count())
    directory = tmp_path

    def act() -> None:
        files = console(directory, boot=NEXT_BOOT)
        files.open(H2, 0, 1, 3)
        files.write([batch(0, 10, H2)], [], 4)

    def prepare() -> Callable[[], object]:
        nonlocal directory
        directory = next(directories)
        written(directory)
        log = home(directory) / "serial0.log"
        log.write_bytes(log.read_bytes()[:7])
        return act

    for _ in _deaths(prepare):
        files = console(directory, boot=NEXT_BOOT)
        offset, _number = files.open(H2, 10, 1, 4)
        files.write([batch(offset, 10, H2)] if offset < 10 else [], [], 4)
        files.write([batch(10, 12, H2)], [], 4)
        holds(read(home(directory))[H1], 0, 5)
        holds(read(home(directory))[H2], 0, 12, H2)


def test_a_death_while_it_stops_is_no_clean_stop_or_one_that_is_true(tmp_path: Path) -> None:
    directories = (tmp_path / str(number) for number in count())
    directory = tmp_path
    seen = set()

    def prepare() -> Callable[[], object]:
        nonlocal directory
        directory = next(directories)
        files = console(directory, sync="close")
        files.open(H1, 0, 1, 1)
        files.write([batch(0, END)], [mark(1), mark(2)], 1)
        files.rename("shop", 2)
        return lambda: files.stop(stopped(END, NUMBER))

    for _ in _deaths(prepare):
        found = recover(Settings(directory=directory))[WEB]
        seen.add(found.clean)
        assert (found.offset, found.mark, found.domain) == (END, NUMBER, "shop")
        holds(read(home(directory))[H1], 0, END)
    assert seen == {False, True}


def test_a_death_while_it_moves_loses_nothing(tmp_path: Path) -> None:
    directories = (tmp_path / str(number) for number in count())
    directory = tmp_path
    there = WEB._replace(hypervisor="lxc")

    def prepare() -> Callable[[], object]:
        nonlocal directory
        directory = next(directories)
        older = console(directory, key=there, size=800)
        older.open(H2, 0, 1, 1)
        older.write([batch(0, 300, H2), batch(300, 700, H2)], [mark(1)], 1)
        files = console(directory, size=800)
        files.open(H1, 0, 1, 1)
        files.write([batch(0, 300), batch(300, 700)], [mark(1)], 1)
        return lambda: files.move("lxc", 2)

    def opened(files: ConsoleFiles) -> None:
        assert files.open(H1, 700, 2, 3) == (700, 2)
        files.write([batch(700, 710)], [mark(2, 700)], 4)

    for at_the_new in (False, True):
        for _ in _deaths(prepare):
            place = there if at_the_new else WEB
            opened(console(directory, key=place, size=8000))
            stories = [read(each) for each in (directory / "by-id").glob("*/*")]
            (story,) = [each[H1] for each in stories if H1 in each]
            holds(story, 0, 710)
            assert story.marks == {1: 0, 2: 700}
            (older,) = [each[H2] for each in stories if H2 in each]
            holds(older, 0, 700, H2)


def test_what_died_long_ago_is_read_at_every_start(tmp_path: Path) -> None:
    for number in range(10):
        files = console(tmp_path, boot=BOOT)
        offset, _ = files.open(H1, number * 10, 1, number)
        files.write([batch(offset, number * 10 + 10)], [], number)
    before = snapshot(tmp_path)

    console(tmp_path)

    assert snapshot(tmp_path) == before
    holds(read(home(tmp_path))[H1], 0, 100)
