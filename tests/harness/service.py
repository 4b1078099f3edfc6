"""virtmuxd as a service of a machine with systemd, installed by the guide's own commands, and its users there."""

import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness.pages import OPERATORS, commands
from tests.harness.privilege import send_signal
from tests.harness.systemd_machine import CHECKOUT, PATIENCE, SystemdMachine

#: The guide's commands need no network.
OFFLINE = {
    "PIP_NO_INDEX": "1",
    "PIP_FIND_LINKS": str(CHECKOUT / "build" / "wheels"),
    "PIP_CONFIG_FILE": "/dev/null",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}
SERVICE = "virtmuxd.service"
SOCKETS = ("virtmuxd.socket", "virtmuxd-ro.socket")
GUEST = "web1"
#: Where the guide says how it is installed.
INSTALLING = "Run it as a service"
UPDATING = "Update it"
REMOVING = "Remove it"


@contextmanager
def installed(*, guest: bool = True) -> Iterator[SystemdMachine]:
    """A machine on which the guide's commands were run, with a guest or without."""
    with SystemdMachine() as machine:
        machine.run("sh", "-euxc", commands(OPERATORS, INSTALLING), cwd=CHECKOUT, environment=OFFLINE)
        if guest:
            machine.start_guest(GUEST)
        yield machine


@contextmanager
def running(machine: SystemdMachine) -> Iterator[None]:
    """For a test: the service runs as it comes, whatever was before. Prints what is logged."""
    machine.run("rm", "-rf", "/etc/virtmux/virtmuxd.toml", "/run/systemd/system/virtmuxd.service.d")
    machine.systemctl("daemon-reload")
    machine.run("systemctl", "reset-failed", SERVICE, *SOCKETS, check=False)
    machine.systemctl("start", *SOCKETS, SERVICE)
    machine.systemctl("reload", SERVICE)
    cursor = machine.journal("--lines=1")[-1]["__CURSOR"]
    try:
        yield
    finally:
        print(machine.run("journalctl", "--no-pager", f"--after-cursor={cursor}").stdout)


def set_up(machine: SystemdMachine, lines: str) -> None:
    """More lines for the section [Service], until the test is over."""
    machine.write("/run/systemd/system/virtmuxd.service.d/test.conf", f"[Service]\n{lines}\n")
    machine.systemctl("daemon-reload")


def pid(machine: SystemdMachine) -> int:
    """The daemon's pid in the machine."""
    return int(machine.show(SERVICE, "MainPID"))


class Attached:
    """`virtmux attach` of somebody in the machine, on pipes."""

    def __init__(self, machine: SystemdMachine, user: str, *options: str) -> None:
        command = machine.command("virtmux", "attach", GUEST, "--escape", "^]", *options, user=user)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)
        self.output = b""
        self.said = b""

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)

    def leave(self) -> None:
        """Ends it, in order if it can be."""
        try:
            self.process.communicate(b"\x1d", timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            send_signal(self.process.pid, signal.SIGKILL)
            self.process.communicate()

    def until(self, output: bytes = b"", said: bytes = b"", start: int = 0) -> None:
        """Waits until `output` is in what the guest printed, from `start` on, and `said` in what virtmux said.

        Raises TimeoutError.
        """
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        deadline = time.monotonic() + PATIENCE
        streams = [self.process.stdout, self.process.stderr]
        while self.output.find(output, start) < 0 or said not in self.said:
            left = deadline - time.monotonic()
            readable, _, _ = select.select(streams, [], [], max(0.0, left))
            if left < 0 or not readable:
                raise TimeoutError(f"{self.output[-500:]!r} {self.said!r}")
            for stream in readable:
                data = stream.read(65536)
                assert data, self.said
                if stream is self.process.stdout:
                    self.output += data
                else:
                    self.said += data


@contextmanager
def attached(machine: SystemdMachine, user: str = "alice", *options: str) -> Iterator[Attached]:
    """Somebody who is at the console, and has it."""
    one = Attached(machine, user, *options)
    try:
        one.write(b"\r>")
        one.until(output=b"\r>")
        yield one
    finally:
        one.leave()
