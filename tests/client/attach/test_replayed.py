"""Output of the past makes no terminal answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.hostile_output import ACTIONS, REQUESTS
from virtmux.escapes import MAX_SEQUENCE
from virtmux_cli.attach.replayed import PastFilter, Shown, split

HARMLESS = [
    b"\x1b[1;31m", b"\x1b[38:2::1:2:3m", b"\x1b[2J", b"\x1b[?2004h", b"\x1b[10;20H", b"\x1b]0;title?\x07",
    b"\x1b[2 q", b"\x1b7", b"a?c", "größe".encode(), b"\r\n", b"\x1b(0", b"\x1b)B", b"\x1b#8", b"\x1b[!p",
    b"\x1b[>4;1m", b"\x1b[>1u", b"\x1b[<u", b"\x1b]8;;http://e.org/?a\x1b\\", b"\x1b]10;red\x07",
    b"\x1bP0;1q#0~~\x1b\\", b"\x85", b"\x8d", b"\x1b=",
    b"\x1b[?1049h", b"\x1b[?1000;1006h", b"\x1b[3T", b"\x1b[4h", b"\x08\t\x0b\x0c\x0e\x0f",
]  # fmt: skip
#: Each is none as it stands; it becomes one where something in its midst is left out, or another program reads it.
HIDDEN = [
    b"\x1b\x1b[c[6n", b"\x1b[\x1b[c6n", b"\x1b\x1b[c\x1b[c[6n", b"\x1b\x05[6n", b"\x1b[6\x05n", b"\x1b[\x006n",
    b"\x1b[6\nn", b"\x1b]\x1b[c52;c;?\x07", b"\x1b]5\x0b2;c;?\x07", b"\x1b[6" + b";" * 5000 + b"n",
    b"\x9b6" + b";" * 5000 + b"n", b"\xc2\x1b[c\x9b6n", b"\x1bP\x1b[c$qm\x1b\\", b"\x1b\x9a[6n",
    b"\x1bPtmux;\x1b\x1b[6n\x1b\\", b"\x1bktitle\x1b\\",
]  # fmt: skip


def shown(*pieces: bytes, live: bytes = b"") -> bytes:
    """What is shown of pieces of the past, and of what comes behind them."""
    replay = PastFilter()
    past = b"".join(replay.show(Shown(piece, replayed=True)) for piece in pieces)
    return past + (replay.show(Shown(live, replayed=False)) if live else b"")


@pytest.mark.parametrize("left_out", [*REQUESTS, *ACTIONS])
def test_what_a_terminal_answers_or_what_would_act_is_left_out_of_the_past(left_out: bytes) -> None:
    assert shown(b"a" + left_out + b"b") == b"ab"


@pytest.mark.parametrize("hidden", HIDDEN)
def test_nothing_that_is_asked_is_left_where_something_else_is_left_out(hidden: bytes) -> None:
    left = shown(b"a" + hidden + b"b")
    assert b"\x1b" not in left
    assert not set(left) & set(b"\x05\x9a\x9b\x9d\x90")


def test_what_is_executed_within_a_sequence_is_shown_before_it() -> None:
    assert shown(b"a\x1b[1\n;3\x071\x05mb") == b"a\n\x1b[1;31mb"


@pytest.mark.parametrize("harmless", HARMLESS)
def test_everything_else_is_shown(harmless: bytes) -> None:
    assert shown(b"a" + harmless + b"b") == b"a" + harmless + b"b"


@pytest.mark.parametrize("live", [*REQUESTS, *ACTIONS, b"\x1bc", b"\x1b]52;c;", b"\xe5"])
def test_what_comes_now_passes_unchanged(live: bytes) -> None:
    assert shown(live=live) == live
    assert shown(b"a", live=live) == b"a" + live


def test_a_reset_of_the_past_undoes_what_was_switched_and_keeps_the_lines_of_the_person() -> None:
    switched = b"\x1b[?1049h\x1b[?1000h\x1b[31m\x1b]10;red\x07"
    undone = b"\x1b[?1000l\x1b[?1049l\x1b]110\x1b\\\x1b[0m"
    cleared = b"\x1b[!p\x1b[H\x1b[2J"
    assert shown(switched + b"\x1bca\x1bcb") == switched + undone + cleared + b"a" + cleared + b"b"


@given(st.lists(st.sampled_from([*REQUESTS, *HARMLESS]), max_size=20), st.lists(st.integers(0, 300), max_size=10))
def test_a_request_is_found_however_it_is_cut(parts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(parts)
    ends = sorted({min(cut, len(stream)) for cut in cuts} | {len(stream)})
    pieces = [stream[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
    assert shown(*pieces) == b"".join(part for part in parts if part in HARMLESS)


def test_a_sequence_that_begins_in_the_past_is_shown_whole() -> None:
    assert shown(b"a\x1b[1", live=b"mb\x1b[6n\x1b]") == b"a\x1b[1mb\x1b[6n\x1b]"
    assert shown("aé".encode()[:-1], live="é".encode()[1:] + b"\x05\x07") == "aé".encode() + b"\x05\x07"


@pytest.mark.parametrize("request_", [each for each in (*REQUESTS, *ACTIONS) if len(each) > 1])
def test_what_began_in_the_past_is_of_the_past_wherever_it_ends(request_: bytes) -> None:
    for cut in range(1, len(request_)):
        behind = b"b" + request_
        assert shown(b"a" + request_[:cut], live=request_[cut:] + behind) == b"a" + behind


def test_live_output_that_does_not_end_what_began_in_the_past_is_not_held_for_long() -> None:
    replay = PastFilter()
    assert replay.show(Shown(b"a\x1b]52;c;", replayed=True)) == b"a"
    assert replay.show(Shown(b"b" * MAX_SEQUENCE, replayed=False)) == b"52;c;" + b"b" * MAX_SEQUENCE
    assert replay.show(Shown(b"\x07\x1b[6n", replayed=False)) == b"\x07\x1b[6n"


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (0, [Shown(b"abcd", replayed=True)]),
        (8, [Shown(b"ab", replayed=True), Shown(b"cd", replayed=False)]),
        (10, [Shown(b"abcd", replayed=False)]),
    ],
)
def test_a_piece_is_split_where_the_past_ends(offset: int, expected: list[Shown]) -> None:
    assert split(offset, b"abcd", 10) == expected
