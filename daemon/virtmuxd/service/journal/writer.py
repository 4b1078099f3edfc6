"""Has the records of consoles written to the disk, and keeps the loop and the consoles free of it.

The rings are read on the loop; the files are written by one thread, a job of all consoles that have news at a time. So
what waits for a slow disk waits in the rings, and what these have no more by then is a gap in the journal.
"""

import asyncio
import errno
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial

from virtmuxd.core.archive import Point
from virtmuxd.core.console import Console
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.core.counters import Counters
from virtmuxd.service.journal.recorder import ConsoleRecorder
from virtmuxd.service.journal.recovery import Recovered
from virtmuxd.service.journal.store import BUG, JournalStore, Work

_log = logging.getLogger(__name__)

#: What is taken out of the rings for one job, in bytes.
_JOB = 1 << 20
#: Seconds after which a disk that does not answer is one that fails.
_PATIENCE = 5.0


class JournalWriter:
    """See the module. `run` is its task; `record` makes the recorder of a console."""

    def __init__(self, store: JournalStore, defined: Callable[[], Collection[ConsoleKey] | None]) -> None:
        """`defined` gives the consoles whose guests are defined, once that is known: what is stored of others is
        dropped first."""
        self._store = store
        self._defined = defined
        self._due: dict[ConsoleRecorder, None] = {}
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._thread = ThreadPoolExecutor(1, "journal")
        self._begun: Future[dict[ConsoleKey, Recovered]] | None = None
        self._stuck = False

    def record(
        self, console: Console, counters: Counters, *, ring: int, recorded: Callable[[Point], None]
    ) -> ConsoleRecorder:
        """Write a console's records down from now on; see `ConsoleRecorder`."""
        files = self._store.console(console.key, console.naming.domain)
        released = partial(self._store.release, files)
        return ConsoleRecorder(console, files, self.queue, counters, ring=ring, recorded=recorded, released=released)

    def queue(self, recorder: ConsoleRecorder) -> None:
        """A recorder has something to do."""
        self._due[recorder] = None
        self._idle.clear()
        self._news.set()

    def forget(self, key: ConsoleKey, then: Callable[[OSError | None], None]) -> None:
        """Delete what is stored of a console that is not recorded; then say what the disk did not take of it."""

        def forget() -> OSError | None:
            try:
                self._store.forget(key)
            except OSError as error:
                return error
            return None

        loop = asyncio.get_running_loop()
        loop.run_in_executor(self._thread, forget).add_done_callback(lambda done: then(done.result()))

    async def begin(self, seconds: float, *, anew: bool = True) -> dict[ConsoleKey, Recovered] | None:
        """What the journal knows of all consoles; None where the disk does not tell within so long: what comes is
        written once it does. Unless `anew`, only a journal that is there is looked at.

        Raises:
            BlockingIOError: another daemon uses the directory.
        """
        self._begun = self._thread.submit(self._store.begin, anew=anew)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(self._begun)
        except BlockingIOError as error:
            raise BlockingIOError(error.errno, error.strerror, str(self._store.directory)) from error
        except OSError as error:
            why = error.strerror or "it does not answer"
            _log.error("the journal cannot be used", extra={"path": str(self._store.directory), "error": why})
            return None

    async def give_back(self, unseen: Mapping[ConsoleKey, Recovered], seconds: float) -> None:
        """Let the clean stops of consoles count again that were not there in this life, within so long."""
        if not unseen or self._stuck:
            return
        give_back = partial(self._store.give_back, unseen, time.time_ns())
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().run_in_executor(self._thread, give_back)

    async def run(self) -> None:
        """Write, job by job."""
        loop = asyncio.get_running_loop()
        while True:
            await self._news.wait()
            self._news.clear()
            while self._due:
                recorders, works = self._next_job()
                now = time.time_ns()
                defined = self._defined() if self._store.is_to_be_tidied(now) else None
                job = loop.run_in_executor(self._thread, self._store.carry_out, works, defined, now)
                while not (await asyncio.wait({job}, timeout=_PATIENCE))[0]:
                    for recorder in (*recorders, *self._due):  # more and more of them
                        with _contained(recorder):
                            recorder.fail("the disk does not answer")
                for recorder, outcome in zip(recorders, job.result(), strict=True):
                    with _retried(recorder):
                        recorder.done(outcome)
            self._idle.set()

    def _next_job(self) -> tuple[list[ConsoleRecorder], list[tuple[int, Work]]]:
        """Those that are due, in their order, and their works, up to the size of a job; the others stay."""
        recorders: list[ConsoleRecorder] = []
        works: list[tuple[int, Work]] = []
        room = _JOB
        while self._due and room > 0:
            recorder = next(iter(self._due))
            del self._due[recorder]
            with _retried(recorder):
                size, work = recorder.work(room)
                recorders.append(recorder)
                works.append((size, work))
                room -= size
        return recorders, works

    async def finish(self, seconds: float) -> None:
        """Wait until all that is due is written, for so long at most."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            self._stuck = True
            _log.error("the journal is not written to its end", extra={"consoles": len(self._due)})

    def close(self) -> bool:
        """Let the thread and the directory go; gives whether the thread has come back."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._store.close()
        return not self._stuck and (self._begun is None or self._begun.done())


@contextmanager
def _contained(recorder: ConsoleRecorder) -> Iterator[None]:
    """A bug in a console's recorder is logged, and harms no other."""
    try:
        yield
    except Exception:  # noqa: BLE001  # the failure boundary of a console's journal, on the loop
        _log.exception("a bug while a console was recorded", extra=recorder.fields)


@contextmanager
def _retried(recorder: ConsoleRecorder) -> Iterator[None]:
    """The same; then it fails as if the disk did."""
    failed = True
    with _contained(recorder):
        yield
        failed = False
    if failed:
        with _contained(recorder):
            recorder.failed(OSError(errno.EIO, BUG))
