"""What a command prints at once on stdout, and why it failed on stderr."""

import sys

from virtmux.errors import VirtmuxError
from virtmux_cli.main import complain, stdout_failed
from virtmux_cli.text import error_line


def write(text: bytes) -> int:
    """Print it, and return the exit status: 0, also where nobody reads it any more."""
    try:
        sys.stdout.buffer.write(text)
        sys.stdout.flush()
    except OSError as error:
        return stdout_failed(error)
    return 0


def failed(error: VirtmuxError) -> int:
    """Say why a command failed, or a part of it, and return the exit status."""
    complain(error_line(error.reason))
    return error.reason.exit_status
