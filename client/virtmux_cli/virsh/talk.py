"""What `virtmux console` says while it is attached: nothing that virsh would not."""

import contextlib
import os

from virtmux.reasons import Reason
from virtmux_cli.attach.state import End
from virtmux_cli.attach.talk import Talk, on_stderr

_STDOUT = 1


class VirshTalk(Talk):
    """Says `lines` before the first byte, on stdout as virsh does, and keeps why it ended for later."""

    def __init__(self, lines: str) -> None:
        super().__init__(on_stderr, person=False, as_json=False, quiet=True)
        self._lines = lines
        #: Why it ended, as a Reason where there is one.
        self.ended: Reason | str | None = None

    def connected(self, domain: str, escape: bytes | None) -> None:  # noqa: ARG002 - they name it as it was given
        """Say the lines, to a terminal in raw mode."""
        with contextlib.suppress(OSError):  # nobody listens
            lines = self._lines.replace("\n", "\r\n") if os.isatty(_STDOUT) else self._lines
            os.write(_STDOUT, lines.encode(errors="replace"))

    def end(self, end: End, *, begun: bool, option: str | None = None) -> None:  # noqa: ARG002 - as Talk
        """Keep why."""
        self.ended = end.reason

    def failed(self, reason: Reason) -> None:
        """Keep why."""
        self.ended = reason

    def complain(self, line: str) -> None:
        """Keep it."""
        self.ended = line

    def _tell(self, line: str | None, value: object, *, always: bool = False) -> None:
        """All else is what virsh has no words for."""
