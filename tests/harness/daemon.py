"""The product under test as its users run it: a `virtmuxd` process of its own."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import virtmux
from tests.harness.logged import unknown_facts
from tests.harness.memory import kib
from tests.harness.privilege import AS_NOBODY, IS_ROOT, NOBODY, run_as_root, send_signal
from tests.harness.processes import ended, python_path
from tests.harness.readiness import NeverReadyError, ReadinessSocket
from tests.harness.watched_daemon import WatchPort

# The commands as installed beside the Python that runs the tests.
PROGRAMS = Path(sys.executable).parent

START_SECONDS = 20.0
STOP_SECONDS = 20.0


class Daemon:
    """One virtmuxd. `kill` and `start` again keep the runtime directory, as a crash and a restart do.

    `watched`: its loop is watched; ask `watch` what it saw.
    """

    def __init__(
        self,
        uris: Sequence[str],
        *,
        attach: str | None = None,
        arguments: Sequence[str] = (),
        config: str = "",
        through: Sequence[str] = (),
        journal: Path | None = None,
        watched: bool = False,
    ) -> None:
        """`config` is a configuration file; `through` is a command that runs it, as `BOUND` and `AS_NOBODY` do;
        `journal` is a directory for that, else it is in the daemon's own."""
        self.directory = Path(tempfile.mkdtemp(prefix="vmxd-"))
        self.runtime = self.directory / "run"
        self.runtime.mkdir(mode=0o700)
        self.socket = self.runtime / "virtmux.sock"
        self.read_only_socket = self.runtime / "virtmux-ro.sock"
        self.journal = journal or self.directory / "journal"
        self._log = self.directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.settings.write_text(config)
        if through == AS_NOBODY and IS_ROOT:
            for path in (self.directory, self.runtime):
                os.chown(path, NOBODY, NOBODY)
        self.watch = WatchPort(self.directory / "watch")
        self._command: list[str | Path] = [*through, PROGRAMS / "virtmuxd"]
        self._environment: dict[str, str] = {}
        if watched:
            self._command = [sys.executable, "-m", "tests.harness.watched_daemon", self.watch.path]
            self._environment = {"PYTHONPATH": python_path()}
        self._command += [
            "--socket",
            str(self.socket),
            "--journal-directory",
            str(self.journal),
            *(["--attach", attach] if attach else []),
        ]
        self._command += ["--config", str(self.settings)]
        self._command += ["--log-level", "debug", *(part for uri in uris for part in ("--uri", uri)), *arguments]

    @property
    def pid(self) -> int:
        assert self._process is not None, "it does not run"
        return self._process.pid

    @property
    def log(self) -> str:
        """All that it has written, over all its lives."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def threads(self) -> int:
        """Its threads, as the kernel counts them."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/task").iterdir())

    @property
    def descriptors(self) -> list[int]:
        """Its file descriptors. Nobody but root may look at them."""
        return [int(name) for name in run_as_root("ls", f"/proc/{self.pid}/fd").split()]

    @property
    def anonymous_kib(self) -> int:
        """Its memory that is not shared with files, in KiB: code and rings are mapped as they are used."""
        return kib(self._status, "RssAnon")

    @property
    def resident_kib(self) -> int:
        """All its memory, with what it has mapped of files: code and rings."""
        return kib(self._status, "VmRSS")

    @property
    def _status(self) -> Path:
        return Path(f"/proc/{self.pid}/status")

    async def start(self) -> None:
        """Starts it and returns once it has said that it is ready. Raises NeverReadyError, the log in a note."""
        assert self._process is None, "it runs"
        with ReadinessSocket(self.directory / "notify") as ready:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **self._environment, "NOTIFY_SOCKET": str(ready.path)},
                )
            try:
                await asyncio.to_thread(ready.wait, self._process.pid, seconds=START_SECONDS)
            except NeverReadyError as error:
                error.add_note(self.log)
                raise

    async def stop(self) -> int:
        """Ends it in order and returns its exit status. Raises TimeoutExpired, and kills it, where it does not end."""
        return await self._end(signal.SIGTERM)

    async def until_logged(self, text: str, times: int = 1, *, seconds: float = 30.0) -> None:
        """Waits until it has logged `text` so often, over all its lives. Raises TimeoutError.

        It looks again and again, up to a deadline: that a file has grown is no event for a test.
        """
        async with asyncio.timeout(seconds):
            while self.log.count(text) < times:
                await asyncio.sleep(0.05)

    def hang_up(self) -> None:
        """Sends it SIGHUP."""
        os.kill(self.pid, signal.SIGHUP)

    @property
    def settings(self) -> Path:
        """Its configuration file."""
        return self.directory / "virtmuxd.toml"

    async def reload(self, config: str) -> None:
        """Gives it another configuration file, and returns once it has taken it."""
        said = "info the configuration was loaded again"
        times = self.log.count(said) + 1
        self.settings.write_text(config)
        self.hang_up()
        await self.until_logged(said, times)

    async def kill(self) -> None:
        """Ends it by SIGKILL and returns once it is gone."""
        await self._end(signal.SIGKILL)

    async def run_client(self, *arguments: str, stdin: bytes = b"", seconds: float = 30.0) -> tuple[int, bytes, str]:
        """Runs `virtmux ARGUMENTS` on its socket: exit status, stdout, stderr."""
        process = await self.client(*arguments)
        output, error = await ended(process, stdin, seconds=seconds)
        assert process.returncode is not None
        return process.returncode, output, error.decode()

    async def client(self, *arguments: str) -> asyncio.subprocess.Process:
        """Starts `virtmux ARGUMENTS` on its socket with pipes for all three streams. The caller ends it."""
        return await asyncio.create_subprocess_exec(
            PROGRAMS / "virtmux", "--socket", str(self.socket), *arguments,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "VIRTMUX_JOURNAL": str(self.journal)},
        )  # fmt: skip

    async def until_listed(self, domain: str, *, seconds: float = 30.0, **facts: object) -> None:
        """Waits until all consoles of the domain are listed with these facts, as `ConsoleInfo` has them. Raises
        TimeoutError.

        It looks again and again, up to a deadline: no event tells that a console is free after its end was told.
        """
        async with asyncio.timeout(seconds), virtmux.connect(self.socket) as client:
            while True:
                listed = [each for each in await client.consoles() if each.id.domain == domain]
                if listed and all(getattr(each, name) == fact for each in listed for name, fact in facts.items()):
                    return
                await asyncio.sleep(0.05)

    async def consoles(self) -> list[dict[str, Any]]:
        """The consoles, as `virtmux list --json` prints them."""
        return await self._listed("console")

    async def hypervisors(self) -> list[dict[str, Any]]:
        """The hypervisors, likewise."""
        return await self._listed("hypervisor")

    async def _listed(self, kind: str) -> list[dict[str, Any]]:
        status, output, error = await self.run_client("list", "--json")
        assert status == 0, error
        return [row for row in map(json.loads, output.splitlines()) if row["type"] == kind]

    async def close(self) -> None:
        """Ends it, holds its log against what no log of ours may hold, and removes its directory."""
        try:
            if self._process is not None:
                await self.stop()
            assert "Traceback" not in self.log, self.log
            assert not unknown_facts(self.log)
        finally:
            await asyncio.to_thread(shutil.rmtree, self.directory)

    async def _end(self, number: signal.Signals) -> int:
        assert self._process is not None, "it does not run"
        process = self._process
        send_signal(process.pid, number)
        try:
            status = await asyncio.to_thread(process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.wait()
            self._process = None
            error.add_note(self.log)
            raise
        self._process = None
        return status
