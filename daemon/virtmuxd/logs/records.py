"""A log record as text: a constant message, and the facts that were given in `extra`.

Whatever a guest, a client or libvirt puts into a fact stays in its place: it makes no line of its own.
"""

import json
import logging

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
#: The most that is logged of one fact, and of a traceback (its end), in characters.
_LONGEST = 1024
_LONGEST_TRACEBACK = 16384
_TRACEBACK_INDENT = "  "


def facts(record: logging.LogRecord) -> dict[str, object]:
    """What was given in `extra`, without what is not known."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD and value is not None}


def text(record: logging.LogRecord) -> str:
    """`message key=value ...`: one line, and below it a traceback where there is one."""
    fields = "".join(f" {key}={_quoted(value)}" for key, value in facts(record).items())
    said = record.getMessage() + fields
    if record.exc_info:
        said += f"\n{_traceback(record)}"
    return said


def plain(value: object) -> str:
    """A fact as the value of a field: text as it is, else JSON."""
    return _short(str(value) if isinstance(value, str) else json.dumps(value, default=str))


def _quoted(value: object) -> str:
    return _short(repr(str(value)) if isinstance(value, str) else repr(value))


def _short(said: str) -> str:
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"


def _traceback(record: logging.LogRecord) -> str:
    """Each line is indented, so that the text of an exception is no line of the log."""
    assert record.exc_info
    lines = logging.Formatter().formatException(record.exc_info)[-_LONGEST_TRACEBACK:].split("\n")
    return "\n".join(_TRACEBACK_INDENT + _printable(line) for line in lines)


def _printable(line: str) -> str:
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in line)
