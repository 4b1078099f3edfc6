"""A Reason as of now, made where it is needed. Reads the clock."""

import time

from virtmux.reasons import Cause, ConsoleId, Phase, Reason, sentence
from virtmux.records import rfc3339


def reason_now(
    cause: Cause,
    detail: str = "",
    *,
    text: str = "",
    phase: Phase = Phase.CLIENT,
    console: ConsoleId | None = None,
) -> Reason:
    """A Reason as of now. Its text is `text`, or else the cause's own sentence with `detail` behind a colon."""
    said = text or sentence(cause, console, detail)
    return Reason(
        cause=cause,
        text=said.encode(errors="backslashreplace").decode(),  # a socket's path need not be Unicode
        phase=phase,
        console=console,
        at=rfc3339(time.time_ns()),
    )
