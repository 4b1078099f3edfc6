"""The lines of a journal's index: what is written is read, and what is damaged is noticed."""

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from virtmux.journal.entries import (
    Batch,
    Closed,
    DamagedError,
    Entry,
    Head,
    Lost,
    Marked,
    Opened,
    Renamed,
    Stopped,
    decode,
    encode,
    entries,
)
from virtmux.records import Note

AT = "2026-01-31T12:00:00.000000Z"
EVERY: list[Entry] = [
    Head(
        history="0" * 32,
        offset=0,
        mark=1,
        hypervisor="qemu/system/h",
        uuid="u",
        device="serial0",
        domain="web\n1",
        boot="b",
        at=1,
        inode=7,
    ),
    Opened("b", 2),
    Batch(0, 5, 0xFFFFFFFF, 3, ((2, 0), (3, 12))),
    Marked(1, 5, Note(AT, "rebooted")),
    Lost(5, 9, "the disk was full", 4),
    Renamed("web2", 5),
    Stopped(at=6, offset=9, mark=2, incarnation=1, boot_offset=0, boot_mark=1, held_until=None, released_until=7),
    Closed(8, "rotated"),
]


@pytest.mark.parametrize("entry", EVERY, ids=lambda entry: type(entry).__name__)
def test_an_entry_is_read_as_it_was_written(entry: Entry) -> None:
    assert decode(encode(entry)) == entry
    assert encode(entry).count(b"\n") == 1


@pytest.mark.parametrize("text", [b"", b"{}", b'{"entry":"dance"}', b'{"entry":"closed","at":-1,"why":""}', b"\xff"])
def test_a_line_that_is_whole_and_no_entry_is_damaged_too(text: bytes) -> None:
    with pytest.raises(DamagedError, match="no entry"):
        decode(b"%08x %b\n" % (crc32c(text), text))


def test_a_damaged_line_is_told_by_its_beginning() -> None:
    with pytest.raises(DamagedError) as caught:
        decode(b"0" * 100 + b"\n")
    assert str(caught.value) == f"a damaged line: {b'0' * 40!r}"


def test_a_line_can_be_read_by_people() -> None:
    assert encode(Opened("b", 2)) == b'bc38955d {"entry":"opened","boot":"b","at":2}\n'


@pytest.mark.parametrize("entry", EVERY, ids=lambda entry: type(entry).__name__)
def test_a_line_that_is_cut_or_zeroed_at_any_byte_is_damaged(entry: Entry) -> None:
    line = encode(entry)
    for at in range(len(line)):
        for damaged in (line[:at], line[:at] + b"\0" + line[at + 1 :], line[:at] + b"\0" * (len(line) - at)):
            with pytest.raises(DamagedError):
                decode(damaged)


@given(st.binary())
def test_whatever_is_no_line_is_damaged(data: bytes) -> None:
    with pytest.raises(DamagedError):
        decode(data)


@given(st.integers(0, 4000))
def test_an_index_is_read_up_to_what_is_damaged(cut: int) -> None:
    lines = [encode(entry) for entry in EVERY]
    index = b"".join(lines)

    found = list(entries(index[:cut]))

    assert [entry for entry, _ in found] == EVERY[: len(found)]
    assert sum(len(line) for line in lines[: len(found)]) == (found[-1][1] if found else 0) <= cut
    assert len(found) == len(EVERY) or sum(len(line) for line in lines[: len(found) + 1]) > cut
