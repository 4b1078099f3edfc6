"""Positions are read back as they were written, and nothing else is read; times are RFC 3339."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtmux.records import Position, parse_number, parse_time, rfc3339

HISTORY = "0123456789abcdef0123456789abcdef"
NUMBERS = st.integers(0, 2**63 - 1)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The local time is not UTC."""
    with monkeypatch.context() as zone:
        zone.setenv("TZ", "ABC-5:45")
        time.tzset()
        yield
    time.tzset()


@given(st.integers(0, 2**128 - 1), NUMBERS, NUMBERS)
def test_a_position_is_read_back_as_it_was_written(history: int, offset: int, mark: int) -> None:
    position = Position(f"{history:032x}", offset, mark)
    assert Position.parse(str(position)) == position


def test_a_position_is_written_history_offset_mark() -> None:
    assert str(Position(HISTORY, 4096, 3)) == f"{HISTORY}:4096:3"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4096",
        HISTORY,
        f"{HISTORY}:1",
        f"{HISTORY}:1:",
        f"{HISTORY}::1",
        f":{HISTORY}:1",
        f"{HISTORY}:1:2:3",
        f"{HISTORY}:-1:2",
        f"{HISTORY}:+1:2",
        f"{HISTORY}:1_0:2",
        f"{HISTORY}: 1:2",
        f"{HISTORY}:1:2\n",
        f"{HISTORY}:0x1:2",
        f"{HISTORY}:1.0:2",
        f"{HISTORY}:\N{ARABIC-INDIC DIGIT ONE}:2",
        f"{HISTORY}:\N{SUPERSCRIPT TWO}:2",
        f"{HISTORY}:{2**63}:2",
        f"{HISTORY}:1:{2**63}",
        f"{HISTORY}:{'9' * 5000}:2",
        f"{HISTORY.upper()}:1:2",
        f"{HISTORY[:-1]}:1:2",
        f"{HISTORY}0:1:2",
        f"0X{HISTORY[2:]}:1:2",
        f"{HISTORY[:-1]}g:1:2",
    ],
)
def test_a_malformed_position_is_named_as_such(text: str) -> None:
    with pytest.raises(ValueError, match="not a position"):
        Position.parse(text)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "0x1", str(2**63), "0" * 20])
def test_what_is_no_number_is_named_as_such(text: str) -> None:
    with pytest.raises(ValueError, match=f"^not a number below 2\\^63: {text!r}$"):
        parse_number(text)


@given(st.text(max_size=80))
def test_any_text_is_a_position_or_a_value_error(text: str) -> None:
    try:
        position = Position.parse(text)
    except ValueError:
        return
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (999, "1970-01-01T00:00:00.000000Z"),
        (1_000, "1970-01-01T00:00:00.000001Z"),
        (1_769_860_800_250_000_999, "2026-01-31T12:00:00.250000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
    ],
)
@pytest.mark.usefixtures("elsewhere")
def test_a_time_is_rfc_3339_in_utc_with_microseconds_rounded_down(ns: int, text: str) -> None:
    assert rfc3339(ns) == text


@pytest.mark.parametrize("text", ["", "soon", "2026-01-31", "2026-01-31T12:00:00", "12"])
def test_what_is_no_time_is_named_as_such(text: str) -> None:
    with pytest.raises(ValueError, match=f"^not a time: {re.escape(repr(text))}$"):
        parse_time(text)


@given(st.integers(0, 250_000_000_000 * 1_000_000_000))
def test_a_time_can_be_read_back_to_the_microsecond(ns: int) -> None:
    read = datetime.fromisoformat(rfc3339(ns))
    assert read.tzinfo == UTC
    since = read - datetime(1970, 1, 1, tzinfo=UTC)
    assert (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds == ns // 1000
