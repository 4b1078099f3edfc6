"""The way of records out of the daemon: whoever logs never waits, and what is missing is told."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from virtmuxd.core.log_fields import AUDIT
from virtmuxd.logs import outlet as outlet_module
from virtmuxd.logs.outlet import MOST, MOST_AUDIT, MOST_BUGS, WINDOW, Outlet
from virtmuxd.logs.records import text

_DEADLINE = 10.0
_log = logging.getLogger("test.outlet")
_audit = logging.getLogger(AUDIT)


class Reader:
    """A sink that keeps what it gets; it can be made to hang, or to fail."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.reads = threading.Event()
        self.reads.set()
        self.fails = False
        self.failed = threading.Semaphore(0)
        self._more = threading.Condition()

    def render(self, record: logging.LogRecord) -> bytes:
        """See `Sink`."""
        return text(record).encode()

    def write(self, rendered: bytes) -> None:
        """See `Sink`."""
        assert self.reads.wait(_DEADLINE)
        if self.fails:
            self.failed.release()
            raise ConnectionRefusedError
        with self._more:
            self.lines.append(rendered.decode())
            self._more.notify_all()

    def until(self, line: str) -> None:
        """Wait for a line that begins so."""
        with self._more:
            assert self._more.wait_for(lambda: any(each.startswith(line) for each in self.lines), _DEADLINE)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextmanager
def logging_by(outlet: Outlet) -> Iterator[None]:
    loggers = [_log, _audit, logging.getLogger(outlet_module.__name__)]
    for logger in loggers:
        logger.addHandler(outlet)
        logger.setLevel(logging.DEBUG)
    yield
    for logger in loggers:
        logger.removeHandler(outlet)
        logger.setLevel(logging.NOTSET)


@pytest.fixture
def outlet(reader: Reader, clock: Clock) -> Iterator[Outlet]:
    made = Outlet(reader, clock=clock)
    with logging_by(made):
        yield made
    made.flush_within(_DEADLINE)


def test_what_waits_is_written_at_the_end_and_nothing_after_it(outlet: Outlet, reader: Reader) -> None:
    for number in range(MOST):
        _log.info("said", extra={"number": number})
    outlet.flush_within(_DEADLINE)
    _log.info("late")
    assert reader.lines == [f"said number={number}" for number in range(MOST)]


def test_whoever_logs_does_not_wait_for_a_reader_that_hangs_and_what_is_dropped_is_told(reader: Reader) -> None:
    reader.reads.clear()
    made = Outlet(reader, size=50)
    with logging_by(made):
        for number in range(1000):
            _log.info("said", extra={"uid": number})
        reader.reads.set()
        made.flush_within(_DEADLINE)
    written = [line for line in reader.lines if line.startswith("said")]
    told = [int(line.split("=")[1]) for line in reader.lines if line.startswith("log records were dropped")]
    assert 50 <= len(written) <= 51  # one may be with the reader
    assert len(written) + sum(told) == 1000


@pytest.mark.parametrize("waiting", [1, 1000])
def test_the_end_does_not_wait_for_a_reader_that_hangs(reader: Reader, waiting: int) -> None:
    reader.reads.clear()
    made = Outlet(reader, size=50)
    with logging_by(made):
        for number in range(waiting):
            _log.info("said", extra={"uid": number})
        made.flush_within(0.01)
    assert reader.lines == []
    reader.reads.set()


def test_what_cannot_be_written_is_told_once_something_can(outlet: Outlet, reader: Reader) -> None:
    reader.fails = True
    for _ in range(3):
        _log.info("said")
    for _ in range(2 * 3):  # of each, that it was dropped cannot be written either
        assert reader.failed.acquire(timeout=_DEADLINE)
    reader.fails = False
    _log.info("heard")
    reader.until("log records were dropped number=3")


def test_a_flood_of_one_kind_is_cut_and_told_when_its_window_is_over(
    outlet: Outlet, reader: Reader, clock: Clock
) -> None:
    for _ in range(1000):
        _log.warning("denied", extra={"uid": 7, "domain": "web1"})
    _log.warning("other", extra={"uid": 7})
    reader.until("other")
    assert sum(line.startswith("denied") for line in reader.lines) == MOST
    clock.now += WINDOW
    _log.warning("denied", extra={"uid": 7, "domain": "web1"})
    outlet.flush_within(_DEADLINE)
    assert sum(line.startswith("denied") for line in reader.lines) == MOST + 1
    assert f"more like this were not logged like='denied' number={1000 - MOST} uid=7" in reader.lines


def test_what_was_left_out_is_told_without_anything_more_being_logged(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlet_module, "WINDOW", 0.3)
    made = Outlet(reader)
    with logging_by(made):
        for _ in range(MOST + 5):
            _log.warning("denied")
        reader.until("more like this were not logged like='denied' number=")
        made.flush_within(_DEADLINE)


def test_each_user_console_and_hypervisor_has_a_limit_of_its_own(outlet: Outlet, reader: Reader) -> None:
    console = {"uri": "qemu:///system", "domain": "web1", "uuid": "1"}
    kinds: list[dict[str, object]] = [
        {},
        {"uid": 1},
        {"uid": 2, **console, "device": "serial0"},
        {**console, "device": "serial0"},
        {**console, "device": "serial1"},
        {"uri": "qemu:///system"},
        {"uri": "qemu:///session"},
    ]
    for kind in kinds:
        for _ in range(MOST + 1):
            _log.info("said", extra={**kind, "offset": 1})
    outlet.flush_within(_DEADLINE)
    assert sum(line.startswith("said") for line in reader.lines) == MOST * len(kinds)
    told = [line for line in reader.lines if line.startswith("more like this")]
    assert told[-1].endswith("like='said' number=1 uri='qemu:///session'")
    assert len(told) == len(kinds)


def test_what_was_done_and_bugs_are_limited_more_generously(outlet: Outlet, reader: Reader) -> None:
    def bug() -> None:
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            _log.exception("a bug")

    def count(line: str) -> int:
        return sum(each.startswith(line) for each in reader.lines)

    for act in (bug, lambda: _audit.info("attached"), lambda: _audit.warning("denied")):
        for _ in range(MOST_AUDIT + 10):
            act()
    outlet.flush_within(_DEADLINE)
    assert (count("a bug"), count("attached"), count("denied")) == (MOST_BUGS, MOST_AUDIT, MOST)


def test_a_record_that_cannot_be_rendered_harms_nobody(
    outlet: Outlet, reader: Reader, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Odd:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    _log.info("odd", extra={"error": Odd()})
    _log.info("even")
    outlet.flush_within(_DEADLINE)
    assert reader.lines == ["even"]
    assert "ZeroDivisionError" in capsys.readouterr().err
