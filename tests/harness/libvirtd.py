"""A libvirtd of the tests' own, beside the machine's: it can be killed, stopped and doubled without harm.

It lives in mount and UTS namespaces of its own, where its directories and terminals lie over the machine's, so it
shares with another libvirtd nothing but the kernel. They stay until `close`: once started again, it must find its
guests' PTYs. Outside, it is reached by a socket in its base directory.
"""

import asyncio
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.privilege import AS_ROOT, run_as_root, send_signal, wait_for_exit
from tests.harness.processes import REAPER, ended
from tests.harness.readiness import NeverReadyError, ReadinessSocket

# What libvirt found out about QEMU, which takes it seconds: the one thing that is kept and shared. libvirt checks it.
CACHE = Path(__file__).parents[2] / "build" / "libvirt-cache"

#: How long to wait before a program is asked again for what no event tells: each time is a process.
LOOK_AGAIN_S = 0.1

#: The kinds of namespaces that it has of its own, and their files in /proc/PID/ns.
NAMESPACES = {"mount": "mnt", "uts": "uts"}

START_SECONDS = 30.0
STOP_SECONDS = 20.0

# In a mount namespace of its own: what every libvirt of the tests needs.
PREPARE = """
set -eu
base=$1 cache=$2
lay() {
    mkdir -p "$2"
    mount --bind "$1" "$2"
}
# libvirtd opens a guest's PTY by its path, whoever's that is by then (docs/libvirt.md): not one of this machine's.
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts /dev/pts
[ -L /dev/ptmx ] || mount --bind /dev/pts/ptmx /dev/ptmx
# Terminals of the same name have locks of the same name.
mkdir -p "$base/lock"
lay "$base/lock" "$(readlink -m /var/lock)"
# Our guests do without KVM, and where it is half there libvirt takes many seconds to find out.
if [ -e /dev/kvm ]; then
    : >"$base/no-kvm"
    mount --bind -o ro "$base/no-kvm" /dev/kvm
fi
# The QEMU driver refuses to load without this user, even where qemu.conf names another.
if ! getent passwd libvirt-qemu >/dev/null; then
    for file in passwd group; do cp "/etc/$file" "$base/$file"; done
    echo 'libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin' >>"$base/passwd"
    echo 'libvirt-qemu:x:64055:' >>"$base/group"
    for file in passwd group; do mount --bind "$base/$file" "/etc/$file"; done
fi
"""

# Our directories are bound, not mounted as tmpfs: what is in them is read and written from outside, too.
ENCLOSE = (
    PREPARE
    + """
lay "$base/etc" /etc/libvirt
lay "$base/run" /run/libvirt
lay "$base/lib" /var/lib/libvirt
lay "$base/log" /var/log/libvirt
lay "$cache" /var/cache/libvirt
# Containers cannot be had where cgroup v1 and v2 are mixed.
if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi
echo "$3" >/proc/sys/kernel/hostname
# The namespaces last as long as this process.
trap '' HUP INT TERM
echo $$
exec sleep infinity
"""
)

LIBVIRTD_CONF = """\
host_uuid = "{host_uuid}"
unix_sock_dir = "{sockets}"
unix_sock_rw_perms = "0777"
auth_unix_rw = "{auth}"
auth_unix_ro = "none"
log_outputs = "3:file:{log}"
"""

# Without a limit for QEMU's cores of its own, a newer libvirt raises it, for which root may lack the right. With that
# capability, which nothing here needs, it asks each new guest 400 questions about its processor: 0.16 s of QEMU's time.
QEMU_CONF = """\
max_core = 0
user = "root"
group = "root"
stdio_handler = "file"
security_driver = "none"
namespaces = []
cgroup_controllers = []
remember_owner = 0
capability_filters = ["cpu-unavailable-features"]
"""


class VirshError(RuntimeError):
    """virsh failed; the text is what it said."""


class Libvirtd:
    """One libvirtd and its guests. `close` (or leaving the `with` block) ends them all and removes every file."""

    def __init__(self, driver: str = "qemu", *, bus: Path | None = None, conf: str = "", hook: str = "") -> None:
        """`driver` is the one that is spoken to. With `bus`, polkit is asked on that system bus who may connect. `conf`
        is what its libvirtd.conf says besides; `hook` the shell script that it runs at whatever happens to a guest: $2
        says what."""
        missing = [program for program in ("libvirtd", "virsh", "qemu-system-x86_64", "unshare") if not _which(program)]
        if missing:
            raise RuntimeError(f"the integration tests need {', '.join(missing)}: run 'make setup'")
        self.base = Path(tempfile.mkdtemp(prefix="vmx-"))
        self.socket = self.base / "sock" / "libvirt-sock"
        self.uri = f"{driver}+unix:///system?socket={self.socket}"
        self.host_uuid = str(uuid.uuid4())
        self.hostname = f"vmx-{secrets.token_hex(3)}"
        self.log = self.base / "log" / "libvirtd.log"
        #: Its /var/lock.
        self.locks = self.base / "lock"
        self.pid = 0
        self._bus = bus
        #: The pid of the process that keeps the namespaces, once they are made.
        self._keeper = 0
        self._reapers: list[subprocess.Popen[bytes]] = []
        #: Held while it starts: in a thread that nobody waits for any more, it must not outlive `close`.
        self._starting = threading.Lock()
        CACHE.mkdir(parents=True, exist_ok=True)
        for name in ("etc", "run", "lib", "log", "sock"):
            (self.base / name).mkdir()
        self.log.touch()  # libvirtd would make it for root alone
        self.base.chmod(0o711)  # a virtmuxd may be another user's
        (self.base / "etc" / "libvirtd.conf").write_text(
            LIBVIRTD_CONF.format(
                host_uuid=self.host_uuid,
                sockets=self.socket.parent,
                log=self.log,
                auth="polkit" if bus else "none",
            )
            + conf
        )
        (self.base / "etc" / "qemu.conf").write_text(QEMU_CONF)
        if hook:
            path = self.base / "etc" / "hooks" / driver
            path.parent.mkdir()
            path.write_text(f"#!/bin/sh\n{hook}\n")
            path.chmod(0o755)

    def start(self) -> None:
        """Starts libvirtd on its directories and returns once it answers; guests that still run are being found again.
        See `until_in_hand`."""
        assert self.pid == 0, "it runs"
        with self._starting, ReadinessSocket(self.base / "notify") as ready:
            try:
                if self._keeper == 0:
                    self._make_namespaces()
                environment = ["env", f"NOTIFY_SOCKET={ready.path}", "LC_ALL=C"]
                if self._bus is not None:
                    environment.append(f"DBUS_SYSTEM_BUS_ADDRESS=unix:path={self._bus}")
                conf = self.base / "etc" / "libvirtd.conf"
                libvirtd = ("libvirtd", "--config", conf, "--pid-file", self.base / "pid")
                reaper = self._launch(*environment, *self.through, *libvirtd)
                ready.wait(reaper.pid, seconds=START_SECONDS)
                self.pid = int(run_as_root("cat", self.base / "pid"))
                # Ready means that it listens. The first answer comes once its drivers have loaded, or never.
                subprocess.run(
                    [*AS_ROOT, "virsh", "--connect", self.uri, "uri"],
                    check=True,
                    capture_output=True,
                    timeout=START_SECONDS,
                )
            except (NeverReadyError, OSError, ValueError, subprocess.SubprocessError) as error:
                error.add_note(self.output)
                raise

    def stop(self) -> None:
        """Ends libvirtd in order. Its guests run on. Raises TimeoutError where it does not end, and was killed."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends libvirtd by SIGKILL and returns once it is gone. Its guests run on."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stops libvirtd where it stands, as a hang would; `thaw` lets it go on."""
        send_signal(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        send_signal(self.pid, signal.SIGCONT)

    def close_door(self) -> None:
        """Lets nobody but root connect; `open_door` lets everybody again."""
        run_as_root("chmod", "0", self.socket)

    def open_door(self) -> None:
        run_as_root("chmod", "0777", self.socket)

    @property
    def through(self) -> tuple[str, ...]:
        """Given to root before a command, it is run where libvirtd and its guests have their files and terminals."""
        return ("nsenter", *(f"--{kind}=/proc/{self._keeper}/ns/{file}" for kind, file in NAMESPACES.items()))

    def outside(self, path: str) -> Path:
        """By which path root finds from outside what libvirtd and its guests call `path`."""
        return Path(f"/proc/{self._keeper}/root{path}")

    @property
    def output(self) -> str:
        """What libvirtd has logged so far."""
        files = (path for path in (self.base / "output", self.log) if path.exists())
        return "".join(path.read_text(errors="replace") for path in files)

    async def virsh(self, *arguments: str | Path, seconds: float = 30.0) -> str:
        """Runs one virsh command and returns what it printed. Raises VirshError, and TimeoutError after `seconds`."""
        return await self._run("virsh", self.uri, *arguments, seconds=seconds)

    async def clients(self) -> list[int]:
        """The ids of the connections to it, in the order in which they were made."""
        rows = (await self._admin("client-list", "libvirtd")).splitlines()
        return sorted(int(row.split()[0]) for row in rows if row.split()[0].isdigit())

    async def disconnect(self, client: int) -> None:
        """Closes one connection to it."""
        await self._admin("client-disconnect", "libvirtd", str(client))

    async def _admin(self, *arguments: str) -> str:
        uri = f"libvirtd:///system?socket={self.socket.with_name('libvirt-admin-sock')}"
        return await self._run("virt-admin", uri, *arguments, seconds=30.0, as_root=True)

    async def _run(self, program: str, uri: str, *arguments: str | Path, seconds: float, as_root: bool = False) -> str:
        process = await asyncio.create_subprocess_exec(
            *(AS_ROOT if as_root or self._bus else ()),  # polkit asks nobody about root
            program, "--quiet", "--connect", uri, *arguments,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,  # on a terminal virsh would start polkit's agent there
        )  # fmt: skip
        output, error = await ended(process, seconds=seconds)
        if process.returncode != 0:
            raise VirshError(f"{program} {' '.join(map(str, arguments))}: {error.decode().strip()}")
        return output.decode().strip()

    async def until_in_hand(self, *, seconds: float = START_SECONDS) -> None:
        """Waits until one that was started again has QEMU's guests in hand. Raises TimeoutError.

        It answers before it has, and of a guest that is destroyed then it says that it does not run
        (docs/libvirt.md, "How a console ends").
        """
        async with asyncio.timeout(seconds):
            for name in (await self.virsh("list", "--name")).split():
                while await self.virsh("domcontrol", name) != "ok":
                    await asyncio.sleep(LOOK_AGAIN_S)

    async def define(self, name: str, xml: str) -> None:
        """Makes a persistent domain of `xml`."""
        path = self.base / f"{name}.xml"
        path.write_text(xml)
        await self.virsh("define", path)

    def close(self) -> None:
        """Ends libvirtd and all its guests, whatever state they are in, and removes the directories."""
        try:
            with self._starting:
                if self.pid:
                    self.kill()
        finally:
            for reaper in self._reapers:
                assert reaper.stdin is not None
                reaper.stdin.close()  # now it kills all that libvirtd has left behind: QEMU outlives it
                reaper.wait(STOP_SECONDS)
            run_as_root("rm", "-rf", "--one-file-system", self.base)

    def _make_namespaces(self) -> None:
        """Makes the namespaces in which each of its starts runs."""
        arguments = (self.base, CACHE, self.hostname)
        unshare = ["unshare", *(f"--{kind}" for kind in NAMESPACES)]
        maker = self._launch(*unshare, "sh", "-c", ENCLOSE, "sh", *arguments, stdout=subprocess.PIPE)
        assert maker.stdout is not None
        with maker.stdout as told:
            if select.select([told], [], [], START_SECONDS)[0]:
                self._keeper = int(told.readline() or 0)
        if not self._keeper:
            raise NeverReadyError("the namespaces of the tests' libvirtd could not be made")

    def _launch(self, *command: str | Path, stdout: int | None = None) -> subprocess.Popen[bytes]:
        """Launches, as root, what `close` ends with all that it leaves behind."""
        with (self.base / "output").open("ab") as output:
            reaper = subprocess.Popen(
                [*AS_ROOT, sys.executable, str(REAPER), *command],
                stdin=subprocess.PIPE,
                stdout=output if stdout is None else stdout,
                stderr=output,
            )
        self._reapers.append(reaper)
        return reaper

    def _end(self, number: signal.Signals) -> None:
        pid, self.pid = self.pid, 0
        assert pid, "it does not run"
        send_signal(pid, number)
        # A frozen one takes no other signal than SIGKILL until it is thawed.
        send_signal(pid, signal.SIGCONT)
        if not wait_for_exit(pid, STOP_SECONDS):
            send_signal(pid, signal.SIGKILL)
            wait_for_exit(pid, STOP_SECONDS)
            raise TimeoutError(f"libvirtd did not end within {STOP_SECONDS} s\n{self.output}")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def dies_of_input_behind_the_end() -> bool:
    """Whether the libvirtd here may die where a console's guest ends before it has its input (docs/libvirt.md)."""
    libvirtd = _which("libvirtd")
    assert libvirtd is not None
    said = subprocess.run([libvirtd, "--version"], check=True, stdout=subprocess.PIPE, text=True, env={"LC_ALL": "C"})
    return said.stdout.split()[-1].startswith("11.3.")


def _which(program: str) -> str | None:
    # A plain user's PATH has no /usr/sbin, where libvirtd lives; sudo's has.
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
