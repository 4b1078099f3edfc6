"""Puts the behaviours to a real libvirt, in a process of its own: `python -m tests.harness.libvirt_player URI XML`.

libvirt takes one event implementation in a process's life, and `qemu:///embed` makes the process the hypervisor. XML is
a file with that of the guest, which it defines and undefines. For each behaviour it says a line of JSON: its name, and
the traceback where it failed. `Play` is the tests' end.
"""

import asyncio
import faulthandler
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import libvirt
import uvloop

from tests.harness.container import GREETING
from tests.harness.guest import BANNER
from tests.harness.libvirt_behaviours import BEHAVIOURS
from tests.harness.libvirt_subject import Subject
from tests.harness.libvirtd import STOP_SECONDS, dies_of_input_behind_the_end
from tests.harness.privilege import AS_ROOT
from tests.harness.processes import REAPER, python_path
from virtmuxd.hypervisor import errors
from virtmuxd.hypervisor.bridge import EventBridge
from virtmuxd.hypervisor.transport import Transport

#: Seconds after which the process ends, and shows where it stands, if a behaviour blocks it.
_LONG = 90


class Play:
    """The tests' end of such a process, and of all that it leaves behind."""

    def __init__(self, directory: Path, uri: str, xml: str, through: Sequence[str | Path] = ()) -> None:
        """It runs as root, `through` a command that runs another. The directory is for what it is told, and says."""
        file, self._said = directory / "domain.xml", directory / "said"
        file.write_text(xml)
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [
                    *AS_ROOT,
                    "env",
                    f"PYTHONPATH={python_path()}",
                    sys.executable,
                    REAPER,
                    *through,
                    *(sys.executable, "-m", "tests.harness.libvirt_player", uri, file),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
            )
        self._verdicts: dict[str, str | None] = {}

    def verdict(self, name: str) -> str | None:
        """What went wrong with a behaviour, once it is known; None where nothing did."""
        assert self._process.stdout is not None
        while name not in self._verdicts:
            line = self._process.stdout.readline()
            assert line, f"it ended before that: {self._said.read_text(errors='replace')}"
            told, verdict = json.loads(line)
            self._verdicts[told] = verdict
        return self._verdicts[name]

    def close(self) -> None:
        """Let it come to its end; where that is an early one, its guests end with it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdout.read()
        self._process.stdout.close()
        self._process.stdin.close()
        self._process.wait(STOP_SECONDS)


class Line:
    """The other end of a guest's line, where it is typed at past libvirt. It stays open: QEMU looks but once a second
    whether anybody has it."""

    def __init__(self) -> None:
        self._path = ""
        self._file = -1

    def type(self, domain: Any, data: bytes) -> None:
        """Type at the guest."""
        source = ET.fromstring(domain.XMLDesc()).find("devices/console/source")
        assert source is not None
        path = source.get("path", "")
        if path != self._path:
            self.close()
            self._path, self._file = path, os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        os.write(self._file, data)

    def close(self) -> None:
        """Let go of it."""
        if self._file >= 0:
            os.close(self._file)


async def play(uri: str, xml: str) -> None:
    """Put all to it that concern it."""
    errors.keep_off_stderr()
    bridge = EventBridge(asyncio.get_running_loop())
    bridge.register()

    def connect() -> tuple[Any, Callable[[], None]]:
        transport = Transport()
        with bridge.opening(transport):
            return libvirt.open(uri), transport.cut

    control, _ = await asyncio.to_thread(connect)
    domain = await asyncio.to_thread(control.defineXML, xml)
    remote, qemu = urlsplit(uri).path != "/embed", control.getType() == "QEMU"
    line = Line()
    subject = Subject(
        connect, domain.UUIDString(), line.type, BANNER if qemu else GREETING, remote=remote, exclusive=qemu
    )
    spared = remote and dies_of_input_behind_the_end()
    for name, behaviour in BEHAVIOURS.of(remote=remote, exclusive=qemu).items():
        if spared and behaviour.behind_the_end:
            continue
        faulthandler.dump_traceback_later(_LONG, exit=True)
        verdict = None
        try:
            await subject.set(running=behaviour.running)
            await behaviour.play(subject)
        except Exception:  # noqa: BLE001  # whatever it is, it is told
            verdict = traceback.format_exc()
        print(json.dumps([name, verdict]), flush=True)
    await subject.set(running=False)
    await asyncio.to_thread(domain.undefine)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play(sys.argv[1], Path(sys.argv[2]).read_text()))
