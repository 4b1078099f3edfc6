"""The segment that grows knows how it was left."""

from pathlib import Path

import pytest

from tests.harness.console_files import failing
from virtmux.journal.entries import Head, encode
from virtmuxd.service.journal.growing import Growing

HEAD = Head(
    history="1" * 32, offset=0, mark=1, hypervisor="h", uuid="u", device="d", domain="web", boot="b", at=1, inode=1
)


@pytest.fixture
def growing(tmp_path: Path) -> Growing:
    (tmp_path / "d.idx").write_bytes(encode(HEAD))
    (tmp_path / "d.log").write_bytes(b"")
    return Growing(tmp_path, "d", HEAD)


def test_it_is_new_until_something_is_appended(growing: Growing, tmp_path: Path) -> None:
    before = growing.is_new

    growing.append(b"line\n", b"bytes", sync=False)

    assert (before, growing.is_new) == (True, False)
    assert growing.changed() is None
    assert growing.size == len(encode(HEAD)) + 10
    assert (tmp_path / "d.log").read_bytes() == b"bytes"


def test_what_the_disk_does_not_take_is_as_if_it_had_not_been_given(
    growing: Growing, monkeypatch: pytest.MonkeyPatch
) -> None:
    with failing(monkeypatch, "write", after=1, part=2), pytest.raises(OSError, match="No space"):
        growing.append(b"line\n", b"bytes", sync=False)

    assert growing.is_new
    assert growing.changed() is None


def test_a_change_by_somebody_else_is_told(growing: Growing, tmp_path: Path) -> None:
    with (tmp_path / "d.log").open("ab") as log:
        log.write(b"x")

    assert growing.changed() == "its log was appended to"
