"""A machine of the tests' own with a real systemd as its PID 1, Debian's libvirtd, D-Bus, polkit and journald.

It is a process tree in namespaces of its own. What it needed, as found by trying:

- Its root is an overlay over this machine's, whose upper half is a tmpfs: it may write everywhere, and nothing of that
  is seen outside or outlives it. `systemd-tmpfiles` would otherwise empty this machine's /tmp.
- It wants nothing that Debian wants at boot: systemd-sysctl and systemd-binfmt would set what belongs to the kernel,
  hence to this machine too. Generators and tmpfiles are gone for the same reason, and /proc/sys and /sys are read-only.
- A cgroup2 mount whose root is a cgroup of the machine's own: also where cgroup v1 and v2 are mixed, and where another
  systemd manages the rest.
- A /dev of its own, with little in it.
- systemd tells $NOTIFY_SOCKET when it has booted, as it tells a container's manager.
- A network of its own, whose loopback systemd sets up: ports that it listens on are free.
- libvirt's units, polkit actions and rules come from Debian's package libvirt-daemon-system, which `tools/setup` has
  unpacked and not installed. Its libvirtd runs QEMU as root and without cgroups: no more is asked of this machine.

Programs are run in it by nsenter. All of it is gone with its PID 1, which the reaper kills when the tests have died.
"""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self
from uuid import uuid4

from tests.harness.domain_xml import boot_sector_xml
from tests.harness.libvirtd import CACHE, LOOK_AGAIN_S, QEMU_CONF
from tests.harness.own_root import MOVE_IN, PLACES
from tests.harness.privilege import AS_ROOT, run_as_root, send_signal, wait_for_exit
from tests.harness.processes import REAPER
from tests.harness.readiness import NeverReadyError, ReadinessSocket

CHECKOUT = Path(__file__).parents[2]
#: Debian's libvirt-daemon-system, unpacked.
LIBVIRT = CHECKOUT / "build" / "libvirt-daemon-system"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

BOOT_SECONDS = 60.0
PATIENCE = 30.0

# In a mount namespace: a cgroup of our own, then the other namespaces. $$ is 1 in there, so a process names itself 0.
LAUNCH = """
set -eu
base=$1 name=$2
mount -t tmpfs -o mode=755 tmpfs "$base/tree"
mkdir "$base/tree/cgroup" "$base/tree/upper" "$base/tree/work" "$base/tree/root"
mount -t cgroup2 cgroup2 "$base/tree/cgroup"
mkdir "$base/tree/cgroup/$name"
exec unshare --pid --net --uts --ipc --fork --kill-child sh -euc '
read -r pid rest </proc/self/stat
echo "$pid" >"$1/pid"
echo 0 >"$1/tree/cgroup/$2/cgroup.procs"
exec unshare --mount --cgroup sh -euc "$0" sh "$@"
' "$0" "$@"
"""

_OVER = r"""
base=$1 name=$2 checkout=$3 libvirt=$4 cache=$5
cd "$base/tree"
mount -t overlay -o "lowerdir=/,upperdir=$PWD/upper,workdir=$PWD/work" overlay root
cd root
"""

_FILL = r"""
mount -t cgroup2 cgroup2 sys/fs/cgroup

# What this machine has set up of the same is not ours, as far as it would be in the way.
units=lib/systemd/system
rm -rf $units/*.wants etc/systemd/system usr/lib/systemd/system-generators etc/systemd/system-generators
rm -rf etc/libvirt var/lib/libvirt var/log/libvirt var/log/journal etc/polkit-1/rules.d
mkdir -p etc/systemd/system etc/libvirt var/lib/libvirt var/log/libvirt var/cache/libvirt etc/polkit-1/rules.d
for part in "$libvirt"/*; do cp -a "$part/." "./${part##*/}"; done  # /lib is a link
for unit in systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service systemd-tmpfiles-clean.timer \
    systemd-sysctl.service systemd-binfmt.service; do
    ln -s /dev/null etc/systemd/system/$unit
done
mkdir etc/systemd/system/sockets.target.wants etc/systemd/system/multi-user.target.wants
for unit in dbus.socket systemd-journald.socket systemd-journald-dev-log.socket libvirtd.socket; do
    ln -s /$units/$unit etc/systemd/system/sockets.target.wants/
done
cp "$base/libvirtd.conf" "$base/qemu.conf" etc/libvirt/
systemd-sysusers --root="$PWD" "$base/users.conf"
mkdir -p -m 755 home/alice home/bob
chown 1777:1777 home/alice
chown 1778:1778 home/bob

mount --bind "$cache" var/cache/libvirt
mkdir -p "./$checkout" run/host
mount --bind -o ro "$checkout" "./$checkout"
: >run/host/notify
mount --bind "$base/notify" run/host/notify
"""

_START = r"""
exec env -i container=virtmux-tests PATH="$PATH" NOTIFY_SOCKET=/run/host/notify \
    /lib/systemd/systemd --unit=multi-user.target --log-target=journal-or-kmsg --show-status=no
"""

BOOT = _OVER + PLACES + _FILL + MOVE_IN + _START

# Removes our cgroup, and those of tests that were killed a while ago, if nobody is in them.
SWEEP = """
mount -t cgroup2 cgroup2 "$1"
for group in "$1/$2" $(find "$1" -maxdepth 1 -name 'vmx-systemd-*' -mmin +1); do
    if grep -qsx 'populated 0' "$group/cgroup.events"; then find "$group" -depth -type d -exec rmdir {} +; fi
done
"""

#: What the packages of Debian's libvirt add, and people who are not root.
USERS = """\
g libvirt -
u libvirt-qemu 64055 - /var/lib/libvirt
u alice 1777 - /home/alice /bin/sh
u bob 1778 - /home/bob /bin/sh
"""

#: For the rest it is as it comes: polkit says who may connect.
LIBVIRTD_CONF = """\
host_uuid = "{host_uuid}"
"""


class SystemdMachine:
    """See the module. A context manager; paths are those of the machine."""

    def __init__(self) -> None:
        if missing := self.missing():
            raise RuntimeError(f"{missing}: run 'make setup'")
        self.base = Path(tempfile.mkdtemp(prefix="vmx-systemd-"))
        self.base.chmod(0o711)
        self.pid = 0
        self._output = self.base / "output"
        self._reaper: subprocess.Popen[bytes] | None = None
        (self.base / "tree").mkdir()
        (self.base / "libvirtd.conf").write_text(LIBVIRTD_CONF.format(host_uuid=uuid4()))
        (self.base / "qemu.conf").write_text(QEMU_CONF)
        (self.base / "users.conf").write_text(USERS)
        CACHE.mkdir(parents=True, exist_ok=True)

    @staticmethod
    def missing() -> str | None:
        """What this machine lacks for it."""
        programs = ("/lib/systemd/systemd", "/usr/bin/dbus-daemon", "/usr/sbin/libvirtd", "/usr/sbin/virtlogd")
        lacking = [each for each in (*programs, str(LIBVIRT)) if not Path(each).exists()]
        return f"no {', '.join(lacking)} here" if lacking else None

    @property
    def through(self) -> tuple[str, ...]:
        """A command that runs another in the machine, as its root."""
        spaces = ("--mount", "--pid", "--cgroup", "--net", "--uts", "--ipc")
        return (*AS_ROOT, "nsenter", f"--target={self.pid}", *spaces, "--wd=/")

    def command(
        self,
        *command: str | Path,
        user: str = "root",
        cwd: Path = Path("/"),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> list[str]:
        """The command line that runs `command` in the machine, with the environment of a login and `environment`.

        What it runs ends by SIGKILL with it.
        """
        as_user = [] if user == "root" else [f"--reuid={user}", f"--regid={user}", "--init-groups"]
        person = ["setpriv", *as_user, "--pdeathsig=KILL"]  # nsenter is its parent, and does not take it along
        variables = {"PATH": PATH, "LC_ALL": "C.UTF-8", "USER": user, **environment}
        clean = ["env", "-i", "-C", str(cwd), *(f"{name}={value}" for name, value in variables.items())]
        return [*self.through, *clean, *person, *map(str, command)]

    def run(
        self,
        *command: str | Path,
        user: str = "root",
        cwd: Path = Path("/"),
        stdin: str = "",
        check: bool = True,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command in the machine. Raises CalledProcessError with what it said where it fails and `check`."""
        line = self.command(*command, user=user, cwd=cwd, environment=environment)
        done = subprocess.run(line, input=stdin, capture_output=True, text=True, check=False, timeout=600)
        if check and done.returncode:
            error = subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
            error.add_note(done.stdout + done.stderr)
            raise error
        return done

    def systemctl(self, *arguments: str) -> str:
        """Runs `systemctl`; raises as `run` does."""
        return self.run("systemctl", *arguments).stdout

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.systemctl("show", "--value", f"--property={name}", unit).strip()

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """What journald has, as `journalctl` tells it."""
        said = self.run("journalctl", "--output=json", "--no-pager", "--all", *matches).stdout
        return [json.loads(line) for line in said.splitlines()]

    def write(self, path: str, text: str) -> None:
        """Writes a file, with the directories that it needs."""
        self.run("sh", "-euc", 'mkdir -p "$(dirname "$1")"; cat >"$1"', "sh", path, stdin=text)

    def until(self, holds: Callable[[], bool], *, seconds: float = PATIENCE) -> None:
        """Waits until something holds; looks again and again, because nobody tells. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"it did not come to hold within {seconds} s")
            time.sleep(LOOK_AGAIN_S)

    def start_guest(self, name: str, *, devices: str = "", paused: bool = False) -> None:
        """Starts a boot-sector guest (tests/harness/guest.py), which does not outlive the machine.

        `devices` are more than it has; `paused` stops it before its first instruction.
        """
        xml = boot_sector_xml(name, uuid4(), memory_mib=8 if devices else 4, extra_devices=devices)
        self.run("virsh", "create", *(["--paused"] if paused else []), "/dev/stdin", stdin=xml)

    def boot(self) -> None:
        """Boots it, and returns once systemd says that it has."""
        self._sweep()
        arguments: list[str | Path] = [BOOT, self.base, self.base.name, CHECKOUT, LIBVIRT, CACHE]
        reaper: list[str | Path] = [*AS_ROOT, "env", f"PATH={PATH}", sys.executable, REAPER]
        with ReadinessSocket(self.base / "notify") as ready:
            with self._output.open("ab") as output:
                self._reaper = subprocess.Popen(
                    [*reaper, "unshare", "--mount", "sh", "-c", LAUNCH, *arguments],
                    stdin=subprocess.PIPE, stdout=output, stderr=output,
                )  # fmt: skip
            try:
                ready.wait(self._reaper.pid, seconds=BOOT_SECONDS)
                self.pid = int((self.base / "pid").read_text())
            except (NeverReadyError, OSError, ValueError) as error:
                error.add_note(self._output.read_text(errors="replace"))
                raise

    def close(self) -> None:
        """Ends all that runs in it, and removes what was outside."""
        try:
            if self._reaper is not None:
                assert self._reaper.stdin is not None
                if self.pid:
                    send_signal(self.pid, signal.SIGKILL)
                    wait_for_exit(self.pid, PATIENCE)
                self._reaper.stdin.close()
                self._reaper.wait(PATIENCE)
        finally:
            self._sweep()
            shutil.rmtree(self.base)

    def _sweep(self) -> None:
        run_as_root("unshare", "--mount", "sh", "-euc", SWEEP, "sh", self.base / "tree", self.base.name)

    def __enter__(self) -> Self:
        try:
            self.boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
