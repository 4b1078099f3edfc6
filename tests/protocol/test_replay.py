"""Where a replay begins, as text."""

import pytest

from virtmux.records import parse_time
from virtmux.replay import From, Replay


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", Replay(From.NONE)),
        ("all", Replay(From.ALL)),
        ("boot", Replay(From.BOOT)),
        ("bytes:16384", Replay(From.BYTES, 16384)),
        ("lines:0", Replay(From.LINES, 0)),
        ("since:1970-01-01T00:00:01.500000Z", Replay(From.SINCE, 1_500_000_000)),
        ("since:1970-01-01T01:00:00+01:00", Replay(From.SINCE, 0)),
    ],
)
def test_a_replay_is_read(text: str, expected: Replay) -> None:
    assert Replay.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "None", "all:", "all:1", "bytes", "bytes:", "bytes:-1", "bytes:1.5", "lines:x", "bytes:" + "9" * 20),
        *("since:", "since:yesterday", "since:2026-01-31T12:00:00", "screen", "16384"),
    ],
)
def test_what_is_no_replay_is_refused_with_what_there_is(text: str) -> None:
    with pytest.raises(ValueError, match="expected none, all, boot, bytes:N, lines:N or since:TIME"):
        Replay.parse(text)


def test_a_time_is_read_to_the_microsecond() -> None:
    assert parse_time("2026-01-31T12:00:00.123456Z") % 10**9 == 123_456_000
