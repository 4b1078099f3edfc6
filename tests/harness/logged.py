"""Log records as tests look at them."""

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from virtmuxd.core.log_fields import AUDIT

if TYPE_CHECKING:  # `make demo` uses the daemon's harness, and has no pytest
    import pytest


def record(message: str = "a message", raised: BaseException | None = None, **facts: object) -> logging.LogRecord:
    """One of the level info, with these facts."""
    exc_info = (type(raised), raised, raised.__traceback__) if raised is not None else None
    made = logging.makeLogRecord({"msg": message, "levelno": logging.INFO, "levelname": "INFO", "exc_info": exc_info})
    vars(made).update(facts)
    return made


class Audited:
    """The records of the audit."""

    def __init__(self, caplog: "pytest.LogCaptureFixture") -> None:
        caplog.set_level(logging.INFO, AUDIT)
        self._caplog = caplog

    def __call__(self, *names: str) -> list[tuple[Any, ...]]:
        """These facts of each record, its action first."""
        records = [vars(each) for each in self._caplog.records if each.name == AUDIT]
        return [(each["action"], *(each.get(name) for name in names)) for each in records]


def _documented() -> frozenset[str]:
    page = (Path(__file__).parents[2] / "docs" / "logging.md").read_text()
    _, _, table = page.partition("\n| field | says |\n")
    return frozenset(
        name for line in table.split("\n\n")[0].splitlines() for name in re.findall(r"`(\w+)`", line.split("|")[1])
    )


#: The facts that docs/logging.md names.
FACTS = _documented()
_QUOTED = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""")


def unknown_facts(log: str) -> set[str]:
    """Facts in the lines of a log that docs/logging.md does not name."""
    records = (line for line in log.splitlines() if line.startswith(("debug ", "info ", "warning ", "error ")))
    return {name for line in records for name in re.findall(r" (\w+)=", _QUOTED.sub("''", line))} - FACTS
