"""The thread that writes, and those who wait for it."""

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.harness import journal_files
from tests.harness.console_files import BOUNDS, store
from tests.harness.consoles import Bench, Consoles
from virtmux.journal.names import home
from virtmuxd.core.archive import Point
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.core.counters import Counters
from virtmuxd.core.retention import Bounds
from virtmuxd.service.journal import recorder as recorder_module
from virtmuxd.service.journal import writer as writer_module
from virtmuxd.service.journal.lock import lock
from virtmuxd.service.journal.settings import Settings
from virtmuxd.service.journal.writer import JournalWriter

DEADLINE = 10.0
UUIDS = [f"5d3f9a5e-0000-4000-8000-{number:012}" for number in range(50)]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "_GATHER", 0.01)
    monkeypatch.setattr(recorder_module, "_RETRY", 0.02)


class Writing:
    """A writer over a real directory, and the consoles that it records."""

    def __init__(self, directory: Path, bounds: Bounds = BOUNDS) -> None:
        self.directory = directory
        self.store = store(directory, bounds)
        self.writer = JournalWriter(self.store, lambda: ())
        self.consoles = Consoles()
        self.counters = Counters()
        self.points: dict[ConsoleKey, Point] = {}
        self._progress = asyncio.Event()

    def add(self, uuid: str = UUIDS[0]) -> Bench:
        bench = self.consoles.add(uuid=uuid)
        key = bench.console.key

        def recorded(point: Point) -> None:
            self.points[key] = point
            self._progress.set()

        bench.console.recorder = self.writer.record(bench.console, self.counters, ring=1 << 20, recorded=recorded)
        return bench

    async def written(self, *benches: Bench) -> None:
        """All that there is of these consoles is on the disk."""
        async with asyncio.timeout(DEADLINE):
            while any(self.points.get(bench.console.key, (-1, 0))[0] < bench.store.end for bench in benches):
                self._progress.clear()
                await self._progress.wait()

    def bytes_of(self, bench: Bench) -> bytes:
        stories = journal_files.read(home(self.directory, *bench.console.key[:2]))
        held = stories[bench.store.history].held()
        assert sorted(held) == list(range(len(held)))
        return bytes(held[offset] for offset in sorted(held))


@asynccontextmanager
async def writing(directory: Path, bounds: Bounds = BOUNDS) -> AsyncIterator[Writing]:
    """It runs; at the end its thread has come back."""
    made = Writing(directory, bounds)
    await made.writer.begin(DEADLINE)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(made.writer.run())
        try:
            yield made
            await made.writer.finish(DEADLINE)
        finally:
            task.cancel()
    assert made.writer.close()


@contextmanager
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The disk does not answer, until the event is set."""
    answers, write = threading.Event(), os.write

    def hang(descriptor: int, data: Any) -> int:
        assert answers.wait(DEADLINE)
        return write(descriptor, data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", hang)
        try:
            yield answers
        finally:
            answers.set()


async def until(bench: Bench, kind: str) -> None:
    """Those who watch were told that."""
    async with asyncio.timeout(DEADLINE):
        while kind not in [event.event for event in bench.told]:
            await asyncio.sleep(0.001)


async def test_the_records_of_all_consoles_are_written(tmp_path: Path) -> None:
    async with writing(tmp_path) as it:
        benches = [it.add(uuid) for uuid in UUIDS]
        for number, bench in enumerate(benches * 3):
            bench.output(b"%d\n" % number * 1000)
            await asyncio.sleep(0)
        await it.written(*benches)

    for number, bench in enumerate(benches):
        expected = b"".join(b"%d\n" % each * 1000 for each in range(number, 3 * len(benches), len(benches)))
        assert it.bytes_of(bench) == expected


async def test_what_waits_is_written_at_the_end(tmp_path: Path) -> None:
    async with writing(tmp_path) as it:
        bench = it.add()
        bench.output(b"last")
        bench.console.close(bench.tick())
        await it.writer.finish(DEADLINE)

        assert it.bytes_of(bench) == b"last"


async def test_a_disk_that_does_not_answer_holds_no_console_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_PATIENCE", 1.0)
    async with writing(tmp_path) as it:
        first, other = it.add(UUIDS[0]), it.add(UUIDS[1])
        first.output(b"one")
        await it.written(first, other)
        with hanging(monkeypatch) as answers:
            first.output(b"two")
            await until(first, "journal-failed")
            other.output(b"three")
            await until(other, "journal-failed")
            assert first.console.info().journal == other.console.info().journal == "failing"
            assert it.counters.journal_failures == 2
            answers.set()
            await it.written(first, other)
        await until(first, "journal-recovered")
        await until(other, "journal-recovered")

    assert (it.bytes_of(first), it.bytes_of(other)) == (b"onetwo", b"three")


async def test_a_disk_that_does_not_answer_at_the_end_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = Writing(tmp_path)
    await made.writer.begin(DEADLINE)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(made.writer.run())
        with hanging(monkeypatch):
            bench = made.add()
            bench.output(b"one")
            bench.console.close(bench.tick())
            await made.writer.finish(0.05)
            task.cancel()

            assert not made.writer.close()
    assert "the journal is not written to its end" in caplog.text


async def test_where_too_little_is_free_it_says_so_and_goes_on_when_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with writing(tmp_path, BOUNDS._replace(free=0.1)) as it:
        bench = it.add()
        with monkeypatch.context() as patched:
            patched.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=9, f_blocks=100, f_frsize=4096))
            bench.output(b"one")
            await until(bench, "journal-failed")
        bench.output(b"two")
        await until(bench, "journal-recovered")
        await it.written(bench)

    failed = next(event for event in bench.told if event.event == "journal-failed")
    assert failed.detail == "less than 10% of the file system is free"
    assert it.bytes_of(bench) == b"onetwo"


async def test_a_directory_that_another_daemon_uses_is_named(tmp_path: Path) -> None:
    descriptor = lock(Settings(directory=tmp_path))
    made = Writing(tmp_path)
    try:
        with pytest.raises(BlockingIOError) as caught:
            await made.writer.begin(DEADLINE)
    finally:
        os.close(descriptor)
        made.writer.close()

    assert caught.value.filename == str(tmp_path)


async def test_a_disk_that_does_not_say_what_there_is_in_time_has_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = Writing(tmp_path)
    answers = threading.Event()
    monkeypatch.setattr(made.store, "begin", lambda **_: answers.wait(DEADLINE))

    assert await made.writer.begin(0.01) is None

    answers.set()
    made.writer.close()
    assert "the journal cannot be used" in caplog.text


async def test_a_journal_that_was_never_written_is_not_begun_for_nothing(tmp_path: Path) -> None:
    made = Writing(tmp_path / "journal")

    assert await made.writer.begin(DEADLINE, anew=False) == {}

    assert not made.directory.exists()
    assert made.writer.close()


async def test_a_directory_that_hangs_as_it_is_looked_for_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Writing(tmp_path)
    answers = threading.Event()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "is_dir", lambda _: not answers.wait(DEADLINE))
        found = await made.writer.begin(0.01, anew=False)
        come_back = made.writer.close()
        answers.set()

    assert found is None
    assert not come_back, "its thread is not waited for"


@pytest.mark.parametrize("error", [None, OSError(errno.EACCES, "Permission denied")])
async def test_what_is_not_recorded_is_forgotten_and_it_is_said_what_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError | None
) -> None:
    async with writing(tmp_path) as it:
        asked: list[ConsoleKey] = []

        def forget(key: ConsoleKey) -> None:
            asked.append(key)
            if error is not None:
                raise error

        monkeypatch.setattr(it.store, "forget", forget)
        said: asyncio.Future[OSError | None] = asyncio.get_running_loop().create_future()
        it.writer.forget(ConsoleKey("h", "u", "d"), said.set_result)

        assert await said is error
        assert asked == [ConsoleKey("h", "u", "d")]


async def test_what_fails_for_one_console_is_written_for_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with writing(tmp_path) as it:
        first, other = it.add(UUIDS[0]), it.add(UUIDS[1])
        await it.written(first, other)
        (tmp_path / "by-id" / "foreign").mkdir()
        place = home(tmp_path, *first.console.key[:2])
        place.parent.mkdir(parents=True)
        place.write_bytes(b"a file in the place of its directory")
        first.output(b"one")
        other.output(b"two")
        await until(first, "journal-failed")
        await it.written(other)
        place.unlink()
        await it.written(first)

    assert (it.bytes_of(first), it.bytes_of(other)) == (b"one", b"two")


@pytest.mark.parametrize("method", ["work", "done"])
async def test_a_bug_in_the_recorder_of_one_console_is_logged_and_the_others_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    async with writing(tmp_path) as it:
        first, other = it.add(UUIDS[0]), it.add(UUIDS[1])
        await it.written(first, other)
        with monkeypatch.context() as patched:
            patched.setattr(first.console.recorder, method, _is_wrong)
            first.output(b"one")
            other.output(b"two")
            await until(first, "journal-failed")
            await it.written(other)
            assert (first.console.info().journal, other.console.info().journal) == ("failing", "disk")
        await until(first, "journal-recovered")
        await it.written(first)

    assert (it.bytes_of(first), it.bytes_of(other)) == (b"one", b"two")
    assert it.counters.journal_failures == 1
    logged = [record for record in caplog.records if record.message == "a bug while a console was recorded"]
    assert logged
    assert all(record.exc_info is not None for record in logged)


async def test_a_bug_while_a_failure_is_told_harms_no_other_console(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with writing(tmp_path) as it:
        first, other = it.add(UUIDS[0]), it.add(UUIDS[1])
        await it.written(first, other)
        with monkeypatch.context() as patched:
            patched.setattr(first.console.recorder, "work", _is_wrong)
            patched.setattr(first.console.recorder, "_tell", _is_wrong)
            first.output(b"one")
            other.output(b"two")
            await it.written(other)
        await it.written(first)

    assert (it.bytes_of(first), it.bytes_of(other)) == (b"one", b"two")


def _is_wrong(*_: object) -> None:
    raise AssertionError("a bug")
