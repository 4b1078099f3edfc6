"""Which files of a directory belong together."""

from pathlib import Path

from tests.harness.console_files import H1, batch, console, home
from virtmux.journal.names import INDEX, LOG, component
from virtmuxd.service.journal.segments import file, segments


def test_how_the_files_of_a_device_are_called() -> None:
    stem, lies = component("serial0"), Path("/lies")
    called = (file(lies, stem, LOG), file(lies, stem, INDEX), file(lies, stem, LOG, 2))

    assert called == (lies / "serial0.log", lies / "serial0.idx", lies / "serial0.log.2")


def test_an_index_has_the_log_whose_inode_it_names_whatever_that_is_called(tmp_path: Path) -> None:
    files = console(tmp_path, size=700)
    files.open(H1, 0, 1, 1)
    for begin in range(0, 1200, 400):
        files.write([batch(begin, begin + 400)], [], begin)
    place = home(tmp_path)
    (place / "serial0.log.1").rename(place / "serial0.log-20260131")
    (place / "serial0.log.0").rename(place / "serial0.log.5")

    found = [(segment.number, segment.log.name if segment.log else None) for segment in segments(place)]

    assert found == [(None, "serial0.log"), (0, "serial0.log.5"), (1, "serial0.log-20260131")]


def test_a_log_has_one_index_the_newest_and_others_are_on_their_own(tmp_path: Path) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 10)], [], 1)
    place = home(tmp_path)
    (place / "serial0.idx.3").write_bytes((place / "serial0.idx").read_bytes())
    (place / "serial0.log.7").write_bytes(b"stray")

    found = [(segment.number, bool(segment.index), bool(segment.log)) for segment in segments(place)]

    assert found == [(None, True, True), (3, True, False), (7, False, True)]


def test_what_is_no_file_of_the_journal_is_ignored(tmp_path: Path) -> None:
    for name in ("notes.txt", "serial0.log.01", "serial0.idx.new", ".lock"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "serial0.log").mkdir()

    assert segments(tmp_path) == []
    assert segments(tmp_path / "none") == []
