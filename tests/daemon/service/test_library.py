"""What is stored of consoles: of those that exist, and of others."""

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.consoles import HYPERVISOR, RUNNING_ID, SECOND, URI, UUID, Bench, Consoles
from tests.harness.journal_writer import EPOCH, JournalWriter
from tests.harness.memory_store import MemoryStore
from virtmux.journal.directory import Journal
from virtmux.journal.history import History, Incarnation
from virtmux.messages import HistoryInfo
from virtmux.records import Attached, Note, Position, rfc3339
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.core.events import Policy
from virtmuxd.service.journal.readers import Readers
from virtmuxd.service.library import Forgotten, HistoryMarks, Library, Named, Told

GONE = "5d3f9a5e-0000-4000-8000-00000000dead"
OLD, OLDER = "a" * 32, "b" * 32


class Bookcase:
    """A library over a real directory. `forgotten` are the consoles whose files were to be deleted."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.consoles = Consoles(policy=Policy.ALWAYS)
        self.forgotten: list[ConsoleKey] = []
        self.errors: dict[str, OSError] = {}
        self.library = Library(self.consoles.registry, Journal(directory), Readers(), self._forget)

    def _forget(self, key: ConsoleKey, then: Callable[[OSError | None], None]) -> None:
        self.forgotten.append(key)
        then(self.errors.get(key.device))

    def add(self, history: str | None = None) -> Bench:
        """The console `web1`, which is attached."""
        store = MemoryStore()
        store.history = history or store.history
        bench = self.consoles.add(store=store)
        bench.attach()
        return bench

    def stored(self, uuid: str = GONE, device: str = "serial0") -> JournalWriter:
        return JournalWriter(self.directory, HYPERVISOR + URI, uuid, device)

    async def ask(self, ask: Callable[..., None], *args: Any) -> Any:
        given: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        ask(*args, given.set_result)
        async with asyncio.timeout(10):
            return await given

    async def histories(self, named: Named) -> list[HistoryInfo] | None:
        infos: list[HistoryInfo] | None = await self.ask(self.library.histories, named)
        return infos

    async def marks(self, named: Named, since: int = 0) -> list[Told] | None:
        found: list[HistoryMarks] | None = await self.ask(self.library.marks, named, since)
        return None if found is None else [told for each in found for told in each.told()]

    async def forget(self, named: Named) -> Forgotten | None:
        forgotten: Forgotten | None = await self.ask(self.library.forget, named)
        return forgotten


@pytest.fixture
async def case(tmp_path: Path) -> Bookcase:
    return Bookcase(tmp_path)


WEB1, NOBODY, ALL = Named("web1"), Named("nobody"), Named(None)


# Histories.


async def test_of_what_is_neither_there_nor_stored_there_is_nothing(case: Bookcase) -> None:
    assert await case.histories(NOBODY) is None
    assert await case.marks(NOBODY) is None
    assert await case.forget(NOBODY) is None


async def test_a_console_that_is_not_written_down_has_the_history_that_its_ring_holds(case: Bookcase) -> None:
    bench = case.add()
    bench.output(b"one")

    (info,) = await case.histories(WEB1) or []

    assert (info.start, info.end) == (f"{bench.store.history}:0:1", f"{bench.store.history}:3:2")
    assert (info.current, info.stored, info.size, info.console) == (True, "memory", 0, bench.console.id)
    assert info.until == rfc3339(bench.now)


async def test_a_history_that_goes_on_begins_with_what_anybody_holds_and_ends_where_the_console_is(
    case: Bookcase,
) -> None:
    bench = case.add(OLD)
    bench.output(b"one two")
    writer = case.stored(UUID)
    writer.begin(OLD, offset=4, mark=2, domain="web1")
    writer.batch(4, b"tw")

    (info,) = await case.histories(WEB1) or []

    assert (info.start, info.end) == (f"{OLD}:0:1", f"{OLD}:7:2")
    assert (info.current, info.stored) == (True, "disk")


async def test_older_histories_come_first_and_are_over(case: Bookcase) -> None:
    writer = case.stored(UUID)
    writer.begin(OLDER, domain="former name")
    writer.mark(1, 0, Attached(rfc3339(EPOCH), 1, 3))
    writer.batch(0, b"old")
    writer.rotate()
    bench = case.add(OLD)

    infos = await case.histories(WEB1) or []

    assert [(info.current, Position.parse(info.start).history) for info in infos] == [(False, OLDER), (True, OLD)]
    assert (infos[0].console.domain, infos[0].console.incarnation) == ("former name", 3)
    assert infos[1].console == bench.console.id


async def test_all_are_those_that_exist_and_those_that_do_not(case: Bookcase) -> None:
    bench = case.add()
    writer = case.stored()
    writer.begin(OLD, domain="gone")
    writer.batch(0, b"old")

    infos = await case.histories(ALL) or []

    assert {info.console.domain for info in infos} == {"gone", bench.console.naming.domain}
    gone = await case.histories(Named("gone"))
    assert gone == [info for info in infos if info.console.domain == "gone"]
    assert gone == await case.histories(Named(GONE.upper()))


async def test_a_device_or_a_hypervisor_tells_apart_what_is_stored(case: Bookcase) -> None:
    for device in ("serial0", "serial1"):
        writer = case.stored(device=device)
        writer.begin(device[-1] * 32, domain="gone")
        writer.batch(0, b"old")

    assert len(await case.histories(Named("gone")) or ()) == 2
    (only,) = await case.histories(Named("gone", "serial1")) or []
    assert only.console.device == "serial1"
    assert await case.histories(Named("gone", "serial1", "qemu+ssh://elsewhere/system")) is None


async def test_a_directory_that_cannot_be_read_leaves_what_is_held(
    case: Bookcase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = case.add()

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "serial0.idx")

    monkeypatch.setattr(Journal, "histories", fail)

    (info,) = await case.histories(WEB1) or []
    assert info.console == bench.console.id
    assert [told.number for told in await case.marks(WEB1) or ()] == [1]
    assert "the journal cannot be read" in caplog.text


async def test_however_many_marks_a_history_has_the_loop_looks_at_none(
    case: Bookcase, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = case.stored()
    writer.begin(OLD, domain="gone")
    writer.mark(1, 0, Attached(rfc3339(EPOCH), 1, 4))
    threads: list[threading.Thread] = []
    incarnations = History.incarnations

    def noted(history: History) -> list[Incarnation]:
        threads.append(threading.current_thread())
        return incarnations(history)

    monkeypatch.setattr(History, "incarnations", noted)

    infos = await case.histories(ALL)
    past = await case.ask(case.library.open, Named("gone"), OLD)

    assert infos is not None
    assert (infos[0].console.incarnation, past.id.incarnation) == (4, 4)
    assert threads
    assert threading.current_thread() not in threads


# Marks.


async def test_marks_are_those_that_are_stored_and_then_those_that_are_only_held(case: Bookcase) -> None:
    bench = case.add(OLD)
    bench.console.sequence.mark(Note(rfc3339(bench.now), "paused"))
    writer = case.stored(UUID)
    writer.begin(OLD, domain="web1")
    writer.mark(1, 0, bench.console.sequence.final_marks(1)[0].record)

    told = await case.marks(WEB1) or []

    assert [(each.history, each.number, each.event.event) for each in told] == [(OLD, 1, "attached"), (OLD, 2, "note")]
    assert {each.event.console.incarnation for each in told} == {1}


async def test_each_mark_is_of_the_incarnation_that_was_attached_last(case: Bookcase) -> None:
    writer = case.stored()
    writer.begin(OLD, domain="gone")
    writer.mark(1, 0, Attached(rfc3339(EPOCH), 1, 1))
    writer.mark(2, 0, Note(rfc3339(EPOCH), "paused"))
    writer.mark(3, 0, Attached(rfc3339(EPOCH), 2, 2))
    writer.mark(4, 0, Note(rfc3339(EPOCH), "paused"))

    told = await case.marks(Named("gone")) or []

    assert [each.event.console.incarnation for each in told] == [1, 1, 2, 2]


async def test_none_since_a_time_is_no_error(case: Bookcase) -> None:
    case.add()
    writer = case.stored()
    writer.begin(OLD, domain="gone")
    writer.mark(1, 0, Note(rfc3339(EPOCH), "paused"))

    assert await case.marks(WEB1, EPOCH * 2) == []
    assert await case.marks(Named("gone"), EPOCH + SECOND) == []


# Forgetting.


class Recorder:
    """Forgets when the test says so."""

    state = "disk"
    lag = 0

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def forget(self, then: Callable[[], None]) -> None:
        self.waiting.append(then)

    def go_on(self) -> None:
        (then,) = self.waiting
        then()

    def rename(self, domain: str, at: int) -> None:
        """Nothing is recorded."""

    def move(self, key: ConsoleKey, at: int) -> None:
        """See `rename`."""

    def close(self, at: int) -> None:
        """See `rename`."""


async def test_a_console_that_is_recorded_is_forgotten_once_its_files_are(case: Bookcase) -> None:
    bench = case.add()
    bench.output(b"secret")
    bench.console.recorder = recorder = Recorder()
    asyncio.get_running_loop().call_later(0.01, recorder.go_on)

    assert await case.forget(WEB1) == Forgotten([])
    assert bench.console.sequence.oldest == bench.console.sequence.position
    assert len(recorder.waiting) == 1
    assert case.forgotten == []


async def test_of_one_that_is_not_recorded_what_was_stored_before_is_deleted(case: Bookcase) -> None:
    bench = case.add()
    bench.output(b"secret")

    assert await case.forget(WEB1) == Forgotten([])
    assert case.forgotten == [bench.console.key]
    assert bench.console.sequence.oldest == bench.console.sequence.position


async def test_what_the_disk_does_not_let_go_of_is_told(case: Bookcase) -> None:
    for device in ("serial0", "serial1"):
        writer = case.stored(device=device)
        writer.begin(OLD, domain="gone")
    case.errors["serial1"] = OSError(errno.EACCES, "Permission denied")

    assert await case.forget(Named("gone")) == Forgotten([case.errors["serial1"]])
    assert sorted(key.device for key in case.forgotten) == ["serial0", "serial1"]


# A stored history, for a reader.


async def test_a_history_is_opened_by_its_name_and_its_id(case: Bookcase) -> None:
    writer = case.stored()
    writer.begin(OLD, domain="gone")
    writer.batch(0, b"old")

    console = await case.ask(case.library.open, Named("gone"), OLD)

    assert (console.sequence.oldest, console.sequence.position) == (Position(OLD, 0, 1), Position(OLD, 3, 1))
    assert console.id.domain == "gone"
    assert console.handle != (await case.ask(case.library.open, Named("gone"), OLD)).handle
    assert await case.ask(case.library.open, Named("gone"), OLDER) is None
    assert await case.ask(case.library.open, NOBODY, OLD) is None


async def test_an_older_history_of_a_console_that_exists_is_opened_by_its_name_of_today(case: Bookcase) -> None:
    writer = case.stored(UUID)
    writer.begin(OLDER, domain="former name")
    writer.batch(0, b"old")
    case.add(OLD)

    for named in (WEB1, Named(UUID), Named(str(RUNNING_ID))):
        assert (await case.ask(case.library.open, named, OLDER)).sequence.end == 3
