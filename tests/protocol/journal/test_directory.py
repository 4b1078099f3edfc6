"""Finding consoles and their histories in a journal."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.journal_writer import EPOCH, SECOND, JournalWriter
from tests.harness.privilege import BOUND
from virtmux.journal import files
from virtmux.journal.directory import Journal, StoredConsole
from virtmux.journal.history import History
from virtmux.journal.names import home

ONE, TWO, THREE = "1" * 32, "2" * 32, "3" * 32


def write(
    directory: Path,
    *names: str,
    hypervisor: str = "qemu/system/h",
    uuid: str = "5f0f",
    device: str = "serial0",
    at: int = EPOCH,
    history: str = ONE,
) -> JournalWriter:
    """A console with a segment, its domain renamed to each of the names."""
    writer = JournalWriter(directory, hypervisor, uuid, device)
    writer.at = at
    writer.begin(history, domain=names[0])
    for name in names[1:]:
        writer.renamed(name)
    return writer


def found(directory: Path, domain: str, device: str | None = None) -> list[tuple[str, str]]:
    return [(console.uuid, console.device) for console in Journal(directory).find(domain, device)]


def histories(directory: Path) -> list[History]:
    (console,) = Journal(directory).consoles()
    return Journal(directory).histories(console)


def test_consoles_are_found_with_all_their_names_the_last_used_first(tmp_path: Path) -> None:
    write(tmp_path, "old", "web1", "old", "web2")
    other = write(tmp_path, "db/1", hypervisor="lxc", uuid="-U~", device="../con.idx", at=EPOCH + SECOND)
    other.at += SECOND
    other.batch(0, b"x", [(1, 5)])
    (tmp_path / "by-id" / ".lock").touch()
    (tmp_path / "by-id" / "link").symlink_to("lxc")
    (tmp_path / "web2").symlink_to("by-id")

    assert Journal(tmp_path).consoles() == [
        StoredConsole("lxc", "-U~", "../con.idx", ("db/1",), EPOCH + 2 * SECOND + 5_000_000),
        StoredConsole("qemu/system/h", "5f0f", "serial0", ("web1", "old", "web2"), EPOCH),
    ]


def test_a_journal_that_is_not_there_has_no_consoles(tmp_path: Path) -> None:
    assert Journal(tmp_path / "none").consoles() == []
    assert Journal(tmp_path / "none").find("web1") == []


def test_a_current_name_wins_over_a_former_one_and_names_over_uuids(tmp_path: Path) -> None:
    write(tmp_path, "web1", "web2", uuid="AA")
    write(tmp_path, "web1", uuid="bb")
    write(tmp_path, "cc", uuid="dd")
    write(tmp_path, "x", uuid="cc")

    assert found(tmp_path, "web1") == [("bb", "serial0")]
    assert found(tmp_path, "web2") == [("AA", "serial0")]
    assert found(tmp_path, "cc") == [("dd", "serial0")]
    assert found(tmp_path, "aa") == [("AA", "serial0")]
    assert found(tmp_path, "Web1") == []


def test_a_former_name_finds_what_has_another_by_now(tmp_path: Path) -> None:
    write(tmp_path, "web1", "web2").rotate()
    write(tmp_path, "web3")

    assert found(tmp_path, "web1") == [("5f0f", "serial0")]
    assert Journal(tmp_path).consoles()[0].domains == ("web1", "web2", "web3")


def test_a_device_is_chosen_where_a_domain_has_several(tmp_path: Path) -> None:
    for second, device in enumerate(("serial0", "serial1")):
        write(tmp_path, "web1", device=device, at=EPOCH + second * SECOND)

    assert found(tmp_path, "web1") == [("5f0f", "serial1"), ("5f0f", "serial0")]
    assert found(tmp_path, "web1", "serial0") == [("5f0f", "serial0")]
    assert found(tmp_path, "web1", "serial2") == []


def test_histories_come_with_their_segments_the_oldest_first(tmp_path: Path) -> None:
    writer = write(tmp_path, "web1", history=ONE, at=EPOCH + 9 * SECOND)  # the clock is set back later
    writer.batch(0, b"one")
    writer.rotate()
    writer.at -= SECOND
    writer.begin(ONE, offset=3)
    writer.batch(3, b"two")
    writer.rotate("the host was restarted without a clean stop")
    writer.at -= SECOND
    writer.begin(TWO)
    writer.batch(0, b"three")

    one, two = histories(tmp_path)

    assert (one.id, one.bytes(0, 99), one.closed) == (ONE, b"onetwo", "the host was restarted without a clean stop")
    assert (two.id, two.bytes(0, 99), two.closed) == (TWO, b"three", None)


def test_what_was_put_aside_for_a_migrated_guest_belongs_to_the_console(tmp_path: Path) -> None:
    here = home(tmp_path, "qemu/system/h", "5f0f")
    for number, history in enumerate((THREE, TWO)):
        writer = write(tmp_path, "web1", history=history, at=EPOCH + number * SECOND)
        writer.batch(0, history.encode())
        writer.rotate()
        writer.begin(history, offset=32)
        writer.put_aside(history)
    moved = write(tmp_path, "web1", history=ONE, hypervisor="qemu/system/other")
    moved.batch(0, b"moved")
    for path in list(moved.home.iterdir()):
        path.rename(here / path.name)
    moved.home.rmdir()

    (console,) = Journal(tmp_path).consoles()
    assert console.hypervisor == "qemu/system/h"
    assert [(history.id, history.bytes(0, 99)) for history in Journal(tmp_path).histories(console)] == [
        (THREE, THREE.encode()),
        (TWO, TWO.encode()),
        (ONE, b"moved"),
    ]


def test_a_name_too_long_for_a_path_is_known_from_the_index(tmp_path: Path) -> None:
    device = "d" * 300
    write(tmp_path, "web1", device=device).batch(0, b"x")

    assert Journal(tmp_path).consoles()[0].device == device
    assert histories(tmp_path)[0].bytes(0, 9) == b"x"


@pytest.mark.parametrize("damage", [b"", b"\0" * 50, b"no index\n"])
def test_what_cannot_be_read_as_a_segment_is_passed_over(tmp_path: Path, damage: bytes) -> None:
    writer = write(tmp_path, "web1")
    writer.batch(0, b"x")
    writer.rotate()
    writer.index().write_bytes(damage)
    write(tmp_path, "db1", uuid="2").index().write_bytes(damage)
    foreign = home(tmp_path, "qemu/system/h", "3")
    shutil.copytree(writer.home, foreign.with_name("no%20component"))

    (console,) = Journal(tmp_path).consoles()
    assert console.uuid == "5f0f"
    assert histories(tmp_path)[0].bytes(0, 9) == b"x"


def test_a_damaged_end_of_an_index_does_not_hide_a_console(tmp_path: Path) -> None:
    writer = write(tmp_path, "web1", "web2")
    writer.at += SECOND
    writer.mark(1, 0)
    with writer.index().open("ab") as index:
        index.write(b'half {"entry":"renamed"')

    assert Journal(tmp_path).consoles() == [
        StoredConsole("qemu/system/h", "5f0f", "serial0", ("web1", "web2"), EPOCH + SECOND)
    ]


def test_an_index_that_is_gone_before_it_is_opened_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "web1")
    gone = write(tmp_path, "db1", uuid="2").index()
    open_file = files.open_file

    def removing(path: Path) -> object:
        gone.unlink(missing_ok=True)
        return open_file(path)

    monkeypatch.setattr(files, "open_file", removing)
    assert [console.uuid for console in Journal(tmp_path).consoles()] == ["5f0f"]


def test_a_clock_that_stands_at_the_epoch_hides_nothing(tmp_path: Path) -> None:
    write(tmp_path, "web1", at=0)

    assert [console.last_at for console in Journal(tmp_path).consoles()] == [0]


def test_the_histories_of_a_device_are_its_own(tmp_path: Path) -> None:
    for device, history in (("serial0", ONE), ("serial1", TWO)):
        write(tmp_path, "web1", device=device, history=history)

    consoles = sorted(Journal(tmp_path).consoles(), key=lambda console: console.device)
    assert [[history.id for history in Journal(tmp_path).histories(each)] for each in consoles] == [[ONE], [TWO]]


@pytest.mark.parametrize("step", range(1, 9))
def test_a_rotation_at_any_step_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    writer = write(tmp_path, "web1")
    writer.batch(0, b"one")
    writer.rotate()
    writer.begin(ONE, offset=3)
    writer.batch(3, b"two")
    (console,) = Journal(tmp_path).consoles()
    open_file, opened = files.open_file, []

    def rotating(path: Path) -> object:
        opened.append(path)
        if len(opened) == step:
            writer.rotate()
            writer.begin(ONE, offset=6)
            writer.batch(6, b"three")
        return open_file(path)

    monkeypatch.setattr(files, "open_file", rotating)
    assert [found.uuid for found in Journal(tmp_path).consoles()] == [console.uuid]
    (history,) = Journal(tmp_path).histories(console)
    assert history.bytes(0, 6) == b"onetwo"
    history.refresh()
    assert history.bytes(0, 99) == b"onetwothree"
    assert len(opened) >= step


READ_ALL = """
import sys
from pathlib import Path
from virtmux.journal.directory import Journal
journal = Journal(Path(sys.argv[1]))
try:
    for console in journal.consoles():
        for history in journal.histories(console):
            history.read(history.oldest, 100)
except PermissionError as error:
    print(error.filename, end="")
"""


@pytest.mark.parametrize(
    "denied", ["by-id", "by-id/qemu/5f0f", "by-id/qemu/5f0f/serial0.idx", "by-id/qemu/5f0f/serial0.log"]
)
def test_what_may_not_be_read_is_an_error_with_its_path(tmp_path: Path, denied: str) -> None:
    write(tmp_path, "web1", hypervisor="qemu").batch(0, b"x")
    (tmp_path / denied).chmod(0)
    try:
        command = [*BOUND, sys.executable, "-c", READ_ALL, str(tmp_path)]
        environ = {"PYTHONPATH": os.pathsep.join(sys.path)}
        output = subprocess.run(command, check=True, capture_output=True, text=True, env=environ).stdout
    finally:
        (tmp_path / denied).chmod(0o700)

    assert output == str(tmp_path / denied)
