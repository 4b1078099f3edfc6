"""Log records: a constant message, the facts in fields. Never console bytes."""

import logging

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _Formatter(logging.Formatter):
    """`level message key=value ...`; the service manager adds the time."""

    def format(self, record: logging.LogRecord) -> str:
        facts = {key: value for key, value in vars(record).items() if key not in _STANDARD and value is not None}
        fields = "".join(f" {key}={value!r}" for key, value in facts.items())
        line = f"{record.levelname.lower()} {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def set_up(level: str) -> None:
    """Log to stderr.

    Raises:
        ValueError: no such level.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter())
    root = logging.getLogger()
    root.setLevel(level.upper())
    root.handlers[:] = [handler]
    # asyncio and libvirtaio tell at debug level what only their authors want to know.
    for chatty in ("asyncio", "EventBridge"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
