"""Machines with a minimal Debian, in namespaces of their own.

debootstrap makes a suite once; each machine is a copy, entered with mounts, processes, a host name and IPC of its own,
and with /dev, /run, /tmp and /var/tmp of its own. It has what any Debian cannot do without, and neither systemd nor
another init: process 1 is a shell, which collects whatever is left behind. The network is this machine's, and how the
package registries are reached is told to it (`registries`). When process 1 ends, whichever way, all that ran and was
mounted in it is gone.
"""

import subprocess
import sys
from pathlib import Path

from tests.harness.own_root import MOVE_IN, PLACES
from tests.harness.privilege import AS_ROOT, run_as_root
from tests.harness.processes import REAPER
from tests.stranger.registries import proxies, settings, sources

#: The host name.
_NAME = "stranger"
#: Where on a machine the files are that are brought along.
BROUGHT = "/srv"
#: So long may a visit take.
LIMIT_S = 7200.0

_OVER = """
tree=$1 archives=$2 name=$3
mount --bind "$tree" "$tree"
cd "$tree"
"""

# Packages are downloaded once for all machines of a suite.
_FILL = """
mount --rbind /sys/fs/cgroup sys/fs/cgroup
if [ -e /dev/fuse ]; then cp -a /dev/fuse dev/; fi
mount --bind "$archives" var/cache/apt/archives
"""

# Logging in sets the environment that a person has.
_START = """
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin /bin/sh -c '
    su --login --command "$1" && su --login --command "$3" "$2"
    exit $?
' init "$4" "$5" "$6"
"""

_ENTER = _OVER + PLACES + _FILL + MOVE_IN + _START

# The reaper, whose command this is, does not tell.
_TELL = """
told=$1
shift
"$@" || status=$?
echo ${status-0} >"$told"
"""


class Suite:
    """A minimal Debian below `base`, of which machines are made, one at a time."""

    def __init__(self, name: str, base: Path) -> None:
        self.name = name
        self._base = base
        self._tree = base / name
        self._archives = base / f"{name}-archives"

    def fetch(self, bringing: Path, log: Path) -> bool:
        """Get it, and put the files of `bringing` into BROUGHT; whether it is to be had. The log says why not."""
        given = self._base / f"{self.name}-settings"
        for path, text in settings(self.name, _NAME).items():
            file = given / path.removeprefix("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        self._archives.mkdir()
        variables = [f"{name}={value}" for name, value in proxies().items()]
        bootstrap: list[str | Path] = ["debootstrap", "--variant=minbase", self.name, self._tree, sources()[0].uri]
        # It mounts in there.
        if not self._do("unshare", "--mount", "env", *variables, *bootstrap, log=log):
            return False
        for what, where in ((given, "/"), (bringing, BROUGHT)):
            run_as_root("cp", "--recursive", f"{what}/.", f"{self._tree}{where}")
        return True

    def visit(self, script: str, user: str, log: Path) -> bool:
        """Have `user` log in on a fresh machine and run `script`; whether it succeeded. All it says is in the log."""
        machine = self._base / "machine"
        run_as_root("cp", "--archive", self._tree, machine)
        spaces = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
        arguments: list[str | Path] = [machine, self._archives, _NAME, _prepare(user), user, script]
        try:
            return self._do(*spaces, "sh", "-euc", _ENTER, "sh", *arguments, log=log)
        finally:
            run_as_root("rm", "-rf", "--one-file-system", machine)

    def _do(self, *command: str | Path, log: Path) -> bool:
        """Run a command as root; whether it succeeded. Nothing of it runs any more when this returns or raises."""
        told = self._base / "told"
        run_as_root("rm", "-f", told)
        with log.open("ab") as output:
            reaped = [*AS_ROOT, sys.executable, REAPER, "sh", "-euc", _TELL, "sh", told, *command]
            with subprocess.Popen(reaped, stdin=subprocess.PIPE, stdout=output, stderr=output) as reaper:
                assert reaper.stdin is not None
                try:
                    reaper.wait(LIMIT_S)
                except subprocess.TimeoutExpired:
                    output.write(b"given up: it takes too long\n")
                finally:
                    reaper.stdin.close()
                    reaper.wait()
        return told.exists() and told.read_text() == "0\n"


def _prepare(user: str) -> str:
    """What is on the machine before they come: no more than the README asks for."""
    lines = ["set -eux", "export DEBIAN_FRONTEND=noninteractive", "apt-get -qq update"]
    install = "apt-get -qq -y install --no-install-recommends"
    lines.append(f"{install} git make")
    if user != "root":
        lines += [
            f"{install} sudo",
            f"useradd --create-home --shell /bin/bash {user}",
            f"echo '{user} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{user}",
        ]
    return "\n".join(lines)
