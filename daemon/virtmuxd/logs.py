"""Log records: a constant message, the facts in fields. Never console bytes."""

import logging
import os

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


#: What journald takes for the priority of a line (sd-daemon(3)).
_PRIORITIES = {logging.DEBUG: "<7>", logging.INFO: "<6>", logging.WARNING: "<4>", logging.ERROR: "<3>"}


class _Formatter(logging.Formatter):
    """`level message key=value ...`; the journal adds the time, and is told the priority where it listens."""

    def __init__(self, *, to_journal: bool) -> None:
        super().__init__()
        self._priorities = _PRIORITIES if to_journal else {}

    def format(self, record: logging.LogRecord) -> str:
        facts = {key: value for key, value in vars(record).items() if key not in _STANDARD and value is not None}
        fields = "".join(f" {key}={value!r}" for key, value in facts.items())
        line = f"{self._priorities.get(record.levelno, '')}{record.levelname.lower()} {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def set_up(level: str) -> None:
    """Log to stderr.

    Raises:
        ValueError: no such level.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(to_journal="JOURNAL_STREAM" in os.environ))
    set_level(level)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # asyncio and libvirtaio tell at debug level what only their authors want to know.
    for chatty in ("asyncio", "EventBridge"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def set_level(level: str) -> None:
    """Log records of this level and above.

    Raises:
        ValueError: no such level.
    """
    logging.getLogger().setLevel(level.upper())
