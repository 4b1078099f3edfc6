"""How the daemon's log is set up: what is written at which level, and that all of it is there at the end."""

import logging
import os
from collections.abc import Iterator

import pytest

from virtmuxd import logs
from virtmuxd.core.log_fields import AUDIT
from virtmuxd.logs import outlet, sinks

_NAMES = (None, "asyncio", "EventBridge", AUDIT, outlet.__name__)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What the tests have set up for themselves is set up again."""
    loggers = [logging.getLogger(name) for name in _NAMES]
    levels, handlers = [each.level for each in loggers], logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """What the daemon has for stderr is a pipe, which is read at this end."""
    read, write = os.pipe()
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    monkeypatch.setattr(logs, "sink", lambda environment: sinks.sink(environment, write))
    yield read
    os.close(read)
    os.close(write)


def said(stderr: int) -> list[str]:
    return os.read(stderr, 65536).decode().splitlines()


def say_all() -> None:
    for level in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger("virtmuxd.x"), level)(f"at {level}")
    logging.getLogger(AUDIT).info("audit: done")
    logging.getLogger("asyncio").info("chatter")


@pytest.mark.parametrize("number", range(4))
def test_what_is_below_the_level_is_not_written_but_the_audit_always_is(stderr: int, number: int) -> None:
    levels = ["debug", "info", "warning", "error"]
    with logs.set_up(levels[number]):
        say_all()
    assert said(stderr) == [*(f"{level} at {level}" for level in levels[number:]), "info audit: done"]


def test_the_level_can_be_changed_meanwhile(stderr: int) -> None:
    with logs.set_up("error"):
        say_all()
        logs.set_level("debug")
        say_all()
    assert len(said(stderr)) == 2 + 5


def test_what_was_left_out_is_told_at_the_end_also_below_the_level(stderr: int) -> None:
    with logs.set_up("error"):
        for _ in range(outlet.MOST_AUDIT + 3):
            logging.getLogger(AUDIT).info("audit: done")
    lines: list[str] = []
    while not lines or "more" not in lines[-1]:
        lines += said(stderr)
    assert lines[-1] == "info more like this were not logged like='audit: done' number=3"


def test_afterwards_nothing_is_written_there(stderr: int) -> None:
    with logs.set_up("info"):
        pass
    say_all()
    os.set_blocking(stderr, False)
    with pytest.raises(BlockingIOError):
        said(stderr)
