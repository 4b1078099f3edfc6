"""The daemon's log: constant messages, facts in fields, never console bytes. docs/logging.md lists them.

outlet    a record's way out: limited, queued, written in a thread
records   a record as text
sinks     where that goes: to journald, or to stderr
"""

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from virtmuxd.core.log_fields import AUDIT
from virtmuxd.logs import outlet
from virtmuxd.logs.outlet import Outlet
from virtmuxd.logs.sinks import sink

_log = logging.getLogger(__name__)

#: Seconds at the end for what waits to be written.
_FLUSH_DEADLINE = 2.0


@contextmanager
def set_up(level: str) -> Iterator[None]:
    """While this lasts, log what is of this level or above: to journald, where that has our stderr, else to stderr.

    Raises:
        ValueError: no such level.
    """
    set_level(level)
    # asyncio and libvirtaio tell at debug level what only their authors want to know.
    for chatty in ("asyncio", "EventBridge"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # Who did what is told whatever the level is, as is what was left out: of that so much only as was logged before.
    logging.getLogger(AUDIT).setLevel(logging.INFO)
    logging.getLogger(outlet.__name__).setLevel(logging.DEBUG)
    root, handler = logging.getLogger(), Outlet(sink(os.environ))
    root.handlers[:] = [handler]
    try:
        yield
    finally:
        handler.flush_within(_FLUSH_DEADLINE)
        root.removeHandler(handler)


def loop_failed(_loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """What the loop tells of a callback or task that failed, without the callback's arguments: those may be console
    bytes."""
    error, message = context.get("exception"), context.get("message")
    told = {} if "handle" in context else {"error": message}
    _log.error("a bug in what the loop called", exc_info=error, extra=told)


def set_level(level: str) -> None:
    """Log what is of this level or above.

    Raises:
        ValueError: no such level.
    """
    logging.getLogger().setLevel(level.upper())
