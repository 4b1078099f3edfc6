"""Log records as tests look at them."""

import logging
from typing import Any

import pytest


def record(message: str = "a message", raised: BaseException | None = None, **facts: object) -> logging.LogRecord:
    """One of the level info, with these facts."""
    exc_info = (type(raised), raised, raised.__traceback__) if raised is not None else None
    made = logging.makeLogRecord({"msg": message, "levelno": logging.INFO, "levelname": "INFO", "exc_info": exc_info})
    vars(made).update(facts)
    return made


class Audited:
    """The records of the audit."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "virtmuxd.audit")
        self._caplog = caplog

    def __call__(self, *names: str) -> list[tuple[Any, ...]]:
        """These facts of each record, its action first."""
        records = [vars(each) for each in self._caplog.records if each.name == "virtmuxd.audit"]
        return [(each["action"], *(each.get(name) for name in names)) for each in records]
