"""A systemd-journald of the tests' own, in a mount namespace with a /run of its own."""

import asyncio
import json
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.privilege import AS_ONESELF, AS_ROOT, run_as_root, send_signal, wait_for_exit
from tests.harness.readiness import ReadinessSocket

_JOURNAL = "/run/log/journal"
_LAUNCH = f"""
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal {_JOURNAL} &&
echo $$ && exec env NOTIFY_SOCKET="$0" /lib/systemd/systemd-journald
"""
_START_SECONDS = _STOP_SECONDS = 30.0


#: As `AS_ROOT`, for a service that says when it is ready.
_AS_ROOT_AND_READY = AS_ROOT and ("sudo", "-n", "--preserve-env=NOTIFY_SOCKET", "--")
#: Runs a command as systemd runs a service whose output goes to the journal. (systemd-cat alone names no stream.)
_AS_SERVICE = ("systemd-cat", "sh", "-ec", 'JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$@"', "sh")


class Journald:
    """See the module. `through` runs a command so that it finds this journald, `as_service` also has it log there."""

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
        enter = ("nsenter", f"--mount=/proc/{self.pid}/ns/mnt")
        self.through = (*AS_ROOT, *enter)
        self.as_service = (*_AS_ROOT_AND_READY, *enter, *AS_ONESELF, *_AS_SERVICE)

    async def entries(self, identifier: str, *matches: str) -> list[dict[str, Any]]:
        """What was logged under an identifier, and matches, as `journalctl` tells it."""
        said = await self.journalctl("-t", identifier, "-o", "json", *matches)
        return [json.loads(line) for line in said.splitlines()]

    async def journalctl(self, *arguments: str) -> str:
        """What `journalctl` prints."""
        command = ("journalctl", "-D", _JOURNAL, "--no-pager", "-q", *arguments)
        return await asyncio.to_thread(run_as_root, "nsenter", f"--mount=/proc/{self.pid}/ns/mnt", *command)

    async def sh(self, line: str) -> str:
        """What a command line prints that asks this journald."""
        enter = ("nsenter", f"--mount=/proc/{self.pid}/ns/mnt")
        return await asyncio.to_thread(run_as_root, *enter, "sh", "-ec", line)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It does nothing, as one that hangs."""
        send_signal(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in (self.pid, self._process.pid):  # sudo stops when what it runs is stopped
                send_signal(pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        send_signal(self.pid, signal.SIGTERM)
        wait_for_exit(self.pid, _STOP_SECONDS)
        self._process.wait(_STOP_SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()
