"""What is written of what is given: from the position on, with what is missing named."""

from tests.harness.console_files import batch, mark, text
from virtmux.journal.entries import Lost, decode
from virtmuxd.service.journal.batches import Batch, cut_beats, pieces


def test_beats_are_cut_at_the_right_bytes() -> None:
    beats = ((2, 0), (3, 10), (4, 20))

    assert cut_beats(beats, 0, 9) == beats
    assert cut_beats(beats, 1, 6) == ((1, 0), (3, 10), (1, 20))
    assert cut_beats(beats, 2, 5) == ((3, 10),)
    assert cut_beats(beats, 9, 9) == ()


def test_a_batch_is_cut_at_an_offset() -> None:
    given = Batch(100, b"abcdef", 7, ((2, 0), (4, 10)))

    assert given.behind(50) == given.behind(100) == given
    assert given.behind(103) == Batch(103, b"def", 7, ((3, 10),))
    assert given.behind(200).data == b""


def test_pieces_begin_at_the_position_and_say_where_each_ends() -> None:
    given = list(pieces((5, 2), [batch(0, 3), batch(3, 10), batch(12, 14)], [mark(1), mark(2), mark(4)], 9, "why"))

    assert [(piece.data, piece.offset, piece.mark) for piece in given] == [
        (text(5, 10), 10, 2),
        (b"", 12, 2),
        (text(12, 14), 14, 2),
        (b"", 14, 3),
        (b"", 14, 5),
    ]
    assert decode(given[1].line) == Lost(10, 12, "why", 9)
