"""When output came."""

from random import Random

import pytest

from virtmuxd.core.times import Times

MS = 1_000_000


def times(*notes: tuple[int, int], offset: int = 0, at: int = 0) -> Times:
    known = Times(offset, at)
    for note in notes:
        known.note(*note)
    return known


def test_a_byte_came_with_the_last_that_is_known_before_it() -> None:
    known = times((100, 50 * MS), (200, 70 * MS))

    assert [known.at(offset) for offset in (0, 99, 100, 199, 200, 10**6)] == [
        *(0, 0),
        *(50 * MS, 50 * MS),
        *(70 * MS, 70 * MS),
    ]
    assert (known.latest, known.known_from) == (70 * MS, 0)


def test_what_comes_within_ten_milliseconds_came_at_once() -> None:
    known = times((100, 50 * MS), (120, 50 * MS), (150, 59 * MS), (200, 60 * MS))

    assert known.at(199) == 50 * MS
    assert (known.until(100), known.until(200)) == (200, None)


def test_a_clock_that_is_set_back_is_noted_at_once() -> None:
    assert times((100, 50 * MS), (150, 49 * MS)).at(150) == 49 * MS


def test_beats_say_how_many_bytes_came_when() -> None:
    known = times((100, 50 * MS), (150, 62 * MS), (200, 91 * MS))

    assert known.beats(100, 300) == (50 * MS, ((50, 0), (50, 12), (100, 41)))
    assert known.beats(160, 170) == (62 * MS, ((10, 0),))


def test_the_first_byte_of_a_time() -> None:
    known = times((100, 50 * MS), (200, 70 * MS))

    assert [known.since(at * MS) for at in (0, 50, 51, 70, 71)] == [0, 100, 200, 200, None]


def test_all_of_so_many_times_are_kept() -> None:
    known = times(*((number, number * 10 * MS) for number in range(1, 4096)))

    assert all(known.at(number) == number * 10 * MS for number in range(4096))


@pytest.mark.parametrize("seed", range(5))
def test_however_much_comes_it_keeps_few_and_the_newest_exactly(seed: int) -> None:
    random = Random(seed)
    known, offset, at = Times(0, 0), 0, 0
    truth = []
    for _ in range(9000):
        at += random.randint(0, 30) * MS
        known.note(offset, at)
        truth.append((offset, at))
        offset += random.randint(1, 100)

    assert len(known._offsets) <= 4096
    for begin, came in truth[-1000:]:
        assert 0 <= came - known.at(begin) < 10 * MS
    for begin, came in truth:
        assert known.at(begin) <= came
