"""What the errors of the library say."""

from tests.harness.scripted_daemon import reason
from virtmux.errors import ConsoleEnded, InputRejected, TimedOut
from virtmux.reasons import Cause

DOWN = reason(Cause.GUEST_SHUTDOWN)


def test_an_error_says_what_its_reason_says() -> None:
    ended = ConsoleEnded(DOWN, b"Power down")
    assert (str(ended), ended.reason, ended.seen) == (DOWN.text, DOWN, b"Power down")
    rejected = InputRejected(DOWN, accepted=1, unknown=2, rejected=3)
    assert (str(rejected), rejected.accepted, rejected.unknown, rejected.rejected) == (DOWN.text, 1, 2, 3)


def test_a_time_that_has_run_out_says_why_nothing_came_and_what_came_instead() -> None:
    assert str(TimedOut("nothing was said", 2.5)) == "nothing was said within 2.5 s"
    assert str(TimedOut("nothing was said", 1 / 3)) == "nothing was said within 0.33 s"
    late = TimedOut("expected b'login: '", 10.0, seen=b"x" * 300, reason=DOWN)
    assert str(late) == f"expected b'login: ' within 10 s: {DOWN.text}; last seen: {b'x' * 200!r}"
    assert (late.what, late.seconds, late.seen, late.reason) == ("expected b'login: '", 10.0, b"x" * 300, DOWN)
