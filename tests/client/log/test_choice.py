"""Which records are asked for."""

import pytest

from tests.harness.log_source import INFOS, NEW, NOON, OLD, SECOND, at
from virtmux.records import Note, Position
from virtmux_cli.log.choice import Choice, NotStored, Span, Times, boots, spans
from virtmux_cli.log.records import Chunk, Gap, History, Marked, Record, Since

BOOTS = [
    Span(OLD, Position(OLD, 0, 1), Position(OLD, 16, 3)),
    Span(OLD, Position(OLD, 16, 3)),
    Span(NEW, Position(NEW, 0, 1)),
]


def test_all_there_is_is_the_default() -> None:
    assert Choice(lines=3, follow=True).whole
    assert spans(INFOS, Choice()) == [Span(OLD, Position(OLD, 0, 1)), Span(NEW, Position(NEW, 0, 1))]
    assert spans([], Choice()) == []


@pytest.mark.parametrize(("number", "boot"), [(0, 2), (-1, 1), (-2, 0), (1, 0), (2, 1), (3, 2)], ids=str)
def test_boots_are_counted_from_either_end(number: int, boot: int) -> None:
    assert spans(INFOS, Choice(boot=number)) == [BOOTS[boot]]


@pytest.mark.parametrize("number", [-3, 4])
def test_a_boot_that_is_not_stored_is_none(number: int) -> None:
    with pytest.raises(NotStored, match=f"no boot {number}: 3 are stored"):
        spans(INFOS, Choice(boot=number))


def test_a_list_of_boots_says_where_each_ends() -> None:
    assert [(boot.number, boot.last) for boot in boots(INFOS)] == [
        (-2, Position(OLD, 16, 3)),
        (-1, Position(OLD, 23, 4)),
        (0, Position(NEW, 28, 2)),
    ]


def test_since_leaves_out_what_ended_before_but_not_the_newest() -> None:
    later = Since(NOON + 6 * SECOND)
    assert spans(INFOS, Choice(since=later.at)) == [Span(NEW, later)]
    ended = [info._replace(until=NOON) for info in INFOS]
    assert spans(ended, Choice(since=later.at)) == [Span(NEW, later)]
    assert [span.history for span in spans(INFOS, Choice(since=NOON))] == [OLD, NEW]


def test_from_a_position_the_later_histories_follow() -> None:
    old = Position(OLD, 5, 2)
    assert spans(INFOS, Choice(start=old)) == [Span(OLD, old), Span(NEW, Position(NEW, 0, 1))]
    assert spans(INFOS, Choice(start=5)) == [Span(NEW, Position(NEW, 5, 0))]
    with pytest.raises(NotStored, match="nothing is stored of history c"):
        spans(INFOS, Choice(start=Position("c" * 32, 0, 1)))


@pytest.mark.parametrize(
    ("record", "left"),
    [
        (Chunk(0, b"abcd", 1), Chunk(0, b"abcd", 1)),
        (Chunk(14, b"abcd", 1), Chunk(14, b"ab", 1)),
        (Chunk(16, b"abcd", 1), None),
        (Marked(16, 2, Note(at(0), "paused")), Marked(16, 2, Note(at(0), "paused"))),
        (Marked(16, 3, Note(at(0), "paused")), None),
        (Gap(10, 2, 20, 2, None), Gap(10, 2, 20, 2, None)),
        (Gap(16, 3, 20, 3, None), None),
        (History(NEW), None),
    ],
)
def test_a_boot_ends_where_the_next_begins(record: Record, left: Record | None) -> None:
    assert BOOTS[0].clip(record) == left
    assert BOOTS[1].clip(record) == record


def test_what_has_no_time_belongs_to_what_is_before_it() -> None:
    times = Times(since=10, until=20)
    seen = [
        (times.early(record), times.late(record)) for record in (Chunk(0, b"a", time) for time in (9, None, 10, 21))
    ]
    assert seen == [(True, False), (True, False), (False, False), (False, True)]
    assert not times.early(Chunk(0, b"a", None))
    assert not Times(None, None).early(Chunk(0, b"a", None))
