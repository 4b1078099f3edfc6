"""What happens to consoles, for the log: when one is held, and why no more."""

import logging

from virtmux.messages import Event
from virtmuxd.core.log_fields import of_console

_log = logging.getLogger(__name__)


def log_event(event: Event) -> None:
    """Log a beginning or an end; of a failed opening too, where its cause is another than the last."""
    facts = {**of_console(event.console), "incarnation": event.console.incarnation, "offset": event.offset}
    if event.event == "attached":
        _log.info("a console is attached", extra=facts)
    elif event.event == "ended" and event.reason is not None:
        why = {"cause": event.reason.cause, "reason": event.reason.text}
        _log.info("a console has ended", extra={**facts, **why})
