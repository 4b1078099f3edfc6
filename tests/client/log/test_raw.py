"""A log as the guest's bytes."""

from tests.harness.scripted_daemon import AT
from virtmux.records import Attached, Break
from virtmux_cli.log.raw import RawLog
from virtmux_cli.log.records import Chunk, Gap, History, Marked, Record


def test_nothing_but_the_bytes_comes_out_and_what_is_missing_is_said() -> None:
    said: list[str] = []
    log = RawLog(said.append)
    records: list[Record] = [
        History("a" * 32),
        Marked(0, 1, Attached(AT, 1, 1)),
        Chunk(0, b"\x1b[31m\xff", None),
        Gap(6, 2, 10, 2, None),
        Marked(10, 2, Break(AT, AT, AT)),
        History("b" * 32),
        Chunk(0, b"b", None),
    ]
    assert b"".join(map(log.render, records)) + log.close() == b"\x1b[31m\xffb"
    gap, broken, other = said
    assert gap == "4 bytes of output are missing here (6 to 10)"
    assert broken.startswith("nobody held the console")
    assert other.startswith("another history")
