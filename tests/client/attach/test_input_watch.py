"""What is said of input: states in, news out."""

from virtmux.ledger import InputState
from virtmux.reasons import Cause
from virtmux_cli.attach.input_watch import KEYS, Held, InputWatch, Lost

ENDED = Cause.GUEST_DESTROYED


def test_input_that_begins_to_wait_is_told_once_until_it_goes_on() -> None:
    watch = InputWatch(keys=True)
    assert watch.take(InputState(1, accepted=12288, waiting=65536, held=True)) == [Held(65536, 12288)]
    assert watch.take(InputState(1, accepted=12288, waiting=65600, held=True)) == []
    assert watch.take(InputState(1, accepted=77888)) == []
    assert watch.take(InputState(1, accepted=77888, waiting=1, held=True)) == [Held(1, 77888)]


def test_what_may_not_have_arrived_is_told_once_and_counted_from_what_was_open() -> None:
    watch = InputWatch(keys=False)
    assert watch.take(InputState(1, accepted=10)) == []
    lost = InputState(1, accepted=11, unknown=1, rejected=3, cause=ENDED)
    assert watch.take(lost) == [Lost(ENDED, 5, 4)]
    assert watch.take(lost) == []
    assert watch.take(InputState(1, accepted=11, unknown=1, rejected=5, cause=ENDED)) == [Lost(ENDED, 2, 2)]


def test_a_few_keys_of_open_fate_are_no_news_and_a_paste_is() -> None:
    watch = InputWatch(keys=True)
    assert watch.take(InputState(1, accepted=10, unknown=KEYS, cause=ENDED)) == []
    assert watch.take(InputState(2, accepted=0, unknown=KEYS + 1, cause=ENDED)) == [Lost(ENDED, KEYS + 1, KEYS + 1)]
    assert watch.take(InputState(3, accepted=0, rejected=1, cause=ENDED)) == [Lost(ENDED, 1, 1)]


def test_each_attachment_counts_alone_also_where_its_number_comes_again() -> None:
    watch = InputWatch(keys=False)
    assert watch.take(InputState(2, accepted=0, waiting=3)) == []
    assert watch.take(InputState(1, accepted=2, rejected=4, cause=ENDED)) == [Lost(ENDED, 6, 4)]
    assert watch.take(InputState(2, accepted=0, rejected=3, cause=ENDED)) == [Lost(ENDED, 3, 3)]
    assert watch.take(InputState(1, accepted=1, rejected=1, cause=ENDED)) == [Lost(ENDED, 2, 1)]


def test_what_is_left_is_all_that_waits_but_for_keys_under_way() -> None:
    assert InputWatch(keys=False).left(InputState(1, 0, waiting=3, unsent=1)) == (1, 2)
    keys = InputWatch(keys=True)
    assert keys.left(InputState(1, 0, waiting=3)) == (0, 0)
    assert keys.left(InputState(1, 0, waiting=3, held=True)) == (0, 3)
    assert keys.left(InputState(1, 0, waiting=KEYS + 1)) == (0, KEYS + 1)
