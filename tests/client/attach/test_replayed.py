"""Output of the past makes no terminal answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtmux_cli.attach.replayed import RequestFilter, Shown, split

REQUESTS = [
    b"\x1b[6n", b"\x1b[?6n", b"\x1b[5n", b"\x1b[c", b"\x1b[>c", b"\x1b[=0c", b"\x9b6n", b"\xc2\x9b6n", b"\x1b[18t",
    b"\x1b[21t", b"\x1b[?2004$p", b"\x1b[>q", b"\x1b[>0q", b"\x1b[?u", b"\x1b[x", b"\x1bP$qm\x1b\\",
    b"\x1b[1;1;1;1;9;9*y", b"\x1bP+q544e\x1b\\", b"\x1b]10;?\x07", b"\x1b]4;1;?\x1b\\", b"\x1b]52;c;?\x07", b"\x1bZ",
    b"\x9a", b"\xc2\x9a", b"\x05", b"\x1b[?1;1;0S", b"\x1b[?4m", b"\x1b[#|", b"\x1b[1$w", b"\x1b['|", b"\x1b[\"v",
    b"\x1b[&u", b"\x1b[5i", b"\x1b_Gi=31,a=q;AAAA\x1b\\", b"\x1b]1337;ReportCellSize\x07", b"\x1b]52;c;aGk=\x07",
    b"\x1bPtmux;\x1b\x1b[6n\x1b\\",
]  # fmt: skip
HARMLESS = [
    b"\x1b[1;31m", b"\x1b[38:2::1:2:3m", b"\x1b[2J", b"\x1b[?2004h", b"\x1b[10;20H", b"\x1b]0;title?\x07",
    b"\x1b[2 q", b"\x1b7", b"a?c", "größe".encode(), b"\r\n", b"\x1b(0", b"\x1b)B", b"\x1b#8", b"\x1b[!p",
    b"\x1b[>4;1m", b"\x1b[>1u", b"\x1b[<u", b"\x1b]8;;http://e.org/?a\x1b\\", b"\x1b]10;red\x07",
    b"\x1bP0;1q#0~~\x1b\\", b"\x85", b"\x8d", b"\x1b=", b"\x1bc",
]  # fmt: skip
#: Each is none as it stands; it becomes one where something in its midst is left out.
HIDDEN = [
    b"\x1b\x1b[c[6n", b"\x1b[\x1b[c6n", b"\x1b\x1b[c\x1b[c[6n", b"\x1b\x05[6n", b"\x1b[6\x05n", b"\x1b[\x006n",
    b"\x1b[6\nn", b"\x1b]\x1b[c52;c;?\x07", b"\x1b]5\x0b2;c;?\x07", b"\x1b[6" + b";" * 5000 + b"n",
    b"\x9b6" + b";" * 5000 + b"n", b"\xc2\x1b[c\x9b6n", b"\x1bP\x1b[c$qm\x1b\\", b"\x1b\x9a[6n",
]  # fmt: skip


@pytest.mark.parametrize("request_", REQUESTS)
def test_what_a_terminal_answers_is_left_out_of_the_past(request_: bytes) -> None:
    assert RequestFilter().show(Shown(b"a" + request_ + b"b", replayed=True)) == b"ab"


@pytest.mark.parametrize("hidden", HIDDEN)
def test_nothing_that_is_asked_is_left_where_something_else_is_left_out(hidden: bytes) -> None:
    shown = RequestFilter().show(Shown(b"a" + hidden + b"b", replayed=True))
    assert b"\x1b" not in shown
    assert not set(shown) & set(b"\x05\x9a\x9b\x9d\x90")


def test_what_is_executed_within_a_sequence_is_shown_before_it() -> None:
    assert RequestFilter().show(Shown(b"a\x1b[1\n;31\x05mb", replayed=True)) == b"a\n\x1b[1;31mb"


@pytest.mark.parametrize("harmless", HARMLESS)
def test_everything_else_is_shown(harmless: bytes) -> None:
    assert RequestFilter().show(Shown(b"a" + harmless + b"b", replayed=True)) == b"a" + harmless + b"b"


@pytest.mark.parametrize("request_", REQUESTS)
def test_what_comes_now_passes_unchanged(request_: bytes) -> None:
    assert RequestFilter().show(Shown(request_, replayed=False)) == request_


@given(st.lists(st.sampled_from([*REQUESTS, *HARMLESS]), max_size=20), st.lists(st.integers(0, 300), max_size=10))
def test_a_request_is_found_however_it_is_cut(parts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(parts)
    ends = sorted({min(cut, len(stream)) for cut in cuts} | {len(stream)})
    replay, shown = RequestFilter(), b""
    for begin, end in zip([0, *ends], ends, strict=False):
        shown += replay.show(Shown(stream[begin:end], replayed=True))

    assert shown == b"".join(part for part in parts if part in HARMLESS)


def test_a_sequence_that_begins_in_the_past_is_shown_whole() -> None:
    replay = RequestFilter()

    assert replay.show(Shown(b"a\x1b[1", replayed=True)) + replay.show(Shown(b"mb", replayed=False)) == b"a\x1b[1mb"


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
