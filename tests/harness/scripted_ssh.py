"""An `ssh` for tests that need no other host: what it is to run, it runs here. Some hosts fail as with the real one."""

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

#: What is said of a host, and ssh's exit status.
FAILURES = {
    "unknown": ("ssh: Could not resolve hostname unknown: Name or service not known", 255),
    "denied": ("tester@denied: Permission denied (publickey,password).", 255),
    "bare": ("sh: 1: virtmux: not found", 127),
    "old": ("virtmux: no such command 'dial-stdio'; see `virtmux --help`", 2),
}

SSH = """\
#!/bin/sh
printf '%s\\n' "$*" >>{log}
for argument; do host=$command command=$argument; done
echo 'Warning: Permanently added the ED25519 host key.' >&2
case $host in
{failures}
*) . {servers}/"$host" && exec sh -c "$command" ;;
esac
"""
FAILURE = "{host}) echo {text} >&2; exit {status} ;;"
VIRTMUX = """\
#!/bin/sh
exec {python} -c '{before}from virtmux_cli.main import main; main()' "$@"
"""
#: An ssh command that fails and says what it was given.
REPEATING = """sh -c 'echo "$*" >&2; exit 255' ssh"""
IMPATIENT = "import virtmux.dialing; virtmux.dialing.GREETING_S = 0.1; "


class ScriptedSsh:
    """Its programs and files are in `directory`. `variables` is for the environment of who uses it."""

    def __init__(self, directory: Path, hosts: Mapping[str, Path]) -> None:
        """`hosts`: the sockets of the daemons, each the usual one at its host."""
        self._directory = directory
        self._log = directory / "log"
        servers = directory / "servers"
        servers.mkdir(parents=True)
        failures = (
            FAILURE.format(host=host, text=shlex.quote(text), status=status)
            for host, (text, status) in FAILURES.items()
        )
        ssh = SSH.format(log=self._log, failures="\n".join(failures), servers=servers)
        self._write("ssh", ssh)
        self._write("virtmux", VIRTMUX.format(python=sys.executable, before=""))
        for host, socket in hosts.items():
            (servers / host).write_text(f"export VIRTMUX_SOCKET={shlex.quote(str(socket))}\n")
        self.variables = {"VIRTMUX_SSH": str(directory / "ssh"), "PATH": f"{directory}:{os.environ['PATH']}"}

    @property
    def calls(self) -> list[str]:
        """The arguments of each run."""
        return self._log.read_text().splitlines()

    def impatient(self) -> None:
        """From now on `virtmux` at the hosts waits only a moment for a daemon's greeting."""
        self._write("virtmux", VIRTMUX.format(python=sys.executable, before=IMPATIENT))

    def _write(self, name: str, text: str) -> None:
        (self._directory / name).write_text(text)
        (self._directory / name).chmod(0o700)


def saying(directory: Path, said: bytes, *, first: str = "true", then: str = "cat >/dev/null") -> str:
    """An ssh command by which every host says this. Before and behind it other commands are run: by default it does so
    at once, and waits until nobody speaks to it any more."""
    path = directory / "said"
    path.write_bytes(said)
    return shlex.join(["sh", "-c", f"{first}; cat {shlex.quote(str(path))}; {then}"])
