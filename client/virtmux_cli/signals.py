"""Signals to a command that may hold the terminal raw: whatever ends or stops it, the terminal is given back first."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator

#: What cannot be caught, or says that the program itself is broken and cannot go on.
_FATAL = {signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
#: What neither ends a process nor, but for SIGTSTP, is ours to stop for.
_PASSING = {
    signal.SIGCHLD,
    signal.SIGCONT,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGURG,
    signal.SIGWINCH,
}
#: The numbers of those that end a process, and can be caught.
ENDING = frozenset(signal.valid_signals()) - _FATAL - _PASSING


@contextlib.contextmanager
def handled(end: Callable[[int], None], suspend: Callable[[], None], resume: Callable[[], None]) -> Iterator[None]:
    """Call `end` with the number of each signal that would end the process, `suspend` before one that stops it, and
    `resume` when it goes on, also after a stop that could not be foreseen.

    What is ignored already stays ignored: nohup(1)'s SIGHUP, Python's SIGPIPE. For one at a time, on a running loop.
    """
    loop = asyncio.get_running_loop()
    mine = [number for number in ENDING | {signal.SIGTSTP} if signal.getsignal(number) is not signal.SIG_IGN]

    def stop() -> None:
        suspend()
        # Stopped as by default, so that the shell hears of it, and not where nobody could continue it.
        loop.remove_signal_handler(signal.SIGTSTP)
        signal.raise_signal(signal.SIGTSTP)
        loop.add_signal_handler(signal.SIGTSTP, stop)
        resume()

    for number in mine:
        if number == signal.SIGTSTP:
            loop.add_signal_handler(number, stop)
        else:
            loop.add_signal_handler(number, end, int(number))
    loop.add_signal_handler(signal.SIGCONT, resume)  # after a SIGSTOP, which nobody can catch
    try:
        yield
    finally:
        for number in [*mine, signal.SIGCONT]:
            loop.remove_signal_handler(number)
