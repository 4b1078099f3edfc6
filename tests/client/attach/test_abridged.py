"""What is told of a console's past: scripts of actions (>>) and what is told of them (<<)."""

from collections.abc import Sequence

from tests.harness.scripted_daemon import AT, reason
from virtmux.reasons import Cause
from virtmux.records import Break, Note
from virtmux_cli.attach.abridged import Abridged, Breaks
from virtmux_cli.attach.replayed import Shown
from virtmux_cli.attach.state import Action, End, Live, Replayed

LET_GO = Replayed(reason(Cause.CONSOLE_RELEASED))
BUSY = Replayed(reason(Cause.CONSOLE_BUSY))
SAID = Shown(b"said", replayed=True)
FIRST, SECOND, THIRD = (Break(AT, f"2025-03-01T12:00:0{number}Z", AT) for number in (1, 2, 3))


def told(past: Sequence[Action], present: Sequence[Action] = ()) -> list[Action | Breaks]:
    """One action after the other; the past ends with the last of it."""
    abridged = Abridged()
    done = [each for action in past[:-1] for each in abridged.take([action], caught_up=False)]
    done += abridged.take(past[-1:], caught_up=True)
    return done + [each for action in present for each in abridged.take([action], caught_up=True)]


def test_breaks_between_which_nothing_was_said_are_told_as_one() -> None:
    visits: list[Action] = [LET_GO, FIRST, LET_GO, SECOND, LET_GO, THIRD]
    assert told([SAID, *visits, SAID]) == [SAID, Breaks(FIRST, THIRD), SAID]
    assert told([SAID, *visits]) == [SAID, Breaks(FIRST, THIRD)]


def test_whatever_else_there_was_stands_where_it_was() -> None:
    for between in (SAID, BUSY, Replayed(Note(AT, "rebooted"))):
        assert told([FIRST, between, SECOND]) == [Breaks(FIRST, FIRST), between, Breaks(SECOND, SECOND)]


def test_it_is_told_before_what_comes_next_and_no_later_than_the_present() -> None:
    abridged = Abridged()
    assert abridged.take([Live(first=True)], caught_up=False) == [Live(first=True)]
    assert abridged.take([FIRST], caught_up=False) == []
    assert abridged.take([], caught_up=True) == [Breaks(FIRST, FIRST)]


def test_of_the_present_all_is_told() -> None:
    released = End(reason(Cause.CONSOLE_RELEASED), None)
    now: list[Action] = [released, FIRST, Live(first=False), SECOND]
    assert told([SAID], now) == [SAID, *now]
