"""A systemd-journald of the tests' own, in a mount namespace with a /run of its own."""

import asyncio
import json
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.privilege import AS_ROOT, run_as_root, send_signal, wait_for_exit
from tests.harness.readiness import ReadinessSocket

_JOURNAL = "/run/log/journal"
_LAUNCH = f"""
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal {_JOURNAL} &&
echo $$ && exec env NOTIFY_SOCKET="$0" /lib/systemd/systemd-journald
"""
_START_SECONDS = _STOP_SECONDS = 30.0


class Journald:
    """See the module. `through` runs a command so that it finds this journald."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory(prefix="vmxj-") as directory, ReadinessSocket(Path(directory, "n")) as ready:
            self._process = subprocess.Popen(
                [*AS_ROOT, "unshare", "--mount", "sh", "-ec", _LAUNCH, str(ready.path)],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL,
            )
            assert self._process.stdout is not None
            self.pid = int(self._process.stdout.readline())
            ready.wait(self.pid, seconds=_START_SECONDS)
        self.through = (*AS_ROOT, "nsenter", f"--mount=/proc/{self.pid}/ns/mnt")

    async def entries(self, identifier: str) -> list[dict[str, Any]]:
        """What was logged under an identifier, as `journalctl` tells it."""
        command = ("journalctl", "-D", _JOURNAL, "-t", identifier, "-o", "json", "--no-pager")
        said = await asyncio.to_thread(run_as_root, "nsenter", f"--mount=/proc/{self.pid}/ns/mnt", *command)
        return [json.loads(line) for line in said.splitlines()]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        send_signal(self.pid, signal.SIGTERM)
        wait_for_exit(self.pid, _STOP_SECONDS)
        self._process.wait(_STOP_SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()
