"""What a command expects of a console: `Console.expect`, and a deadline that also holds while an expression is tried.

What an expression costs depends on what the guest says, and with one that backtracks there may be no end to it. The
loop stands still meanwhile; but Python's `re` heeds signals.
"""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from virtmux.console import Console
from virtmux.errors import TimedOut
from virtmux.matching import Search
from virtmux.reading import Match
from virtmux_cli.attach.talk import Talk
from virtmux_cli.automation.console import passing

#: Seconds behind the deadline, by when the loop has ended what it can end, and from one look to the next.
_GRACE_S, _AGAIN_S = 0.5, 0.2


async def expect(console: Console, patterns: Sequence[bytes], seconds: float | None, say: Talk) -> Match:
    """The first match; what passes meanwhile is said. For the main thread.

    Raises:
        TimedOut: there was none within `seconds`.
        ConsoleEnded: the console ended, or is not attached.
    """
    with _broken_off(seconds):
        return await console.expect(list(patterns), timeout=seconds, must_be_attached=True, notice=passing(say))


@contextmanager
def _broken_off(seconds: float | None) -> Iterator[None]:
    if seconds is None:
        yield
        return

    def look(_number: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code is Search.feed.__code__:
            raise TimedOut("an expression takes too long with what the guest said: no match", seconds)

    former = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE_S, _AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
