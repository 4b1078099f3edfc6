"""A system bus and a polkitd of the tests' own, which give every user one answer on libvirt's question.

They live in a mount namespace of their own, where our action lies over the machine's: polkitd reads no other directory.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.privilege import AS_NOBODY, AS_ROOT, run_as_root
from tests.harness.processes import REAPER

ACTIONS = Path("/usr/share/polkit-1/actions")
PROGRAMS = (Path("/usr/lib/polkit-1/polkitd"), Path("/usr/libexec/polkitd"))

LAUNCH = f"""
mount --bind "$1/actions" {ACTIONS}
exec env DBUS_SYSTEM_BUS_ADDRESS="unix:path=$1/bus" dbus-daemon --config-file="$1/bus.conf" --nofork --print-address
"""

BUS = """\
<busconfig>
  <listen>unix:path={base}/bus</listen>
  <auth>EXTERNAL</auth>
  <servicedir>{base}/services</servicedir>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/><allow receive_sender="*"/>
  </policy>
</busconfig>
"""

#: The bus starts polkitd when somebody asks for it.
SERVICE = """\
[D-BUS Service]
Name=org.freedesktop.PolicyKit1
Exec={program} --no-debug
"""

POLICY = "<policyconfig>{actions}</policyconfig>"

ACTION = """
  <action id="org.libvirt.{name}">
    <description>libvirt's own has this id</description>
    <message>none</message>
    <defaults>
      <allow_any>{answer}</allow_any><allow_inactive>{answer}</allow_inactive><allow_active>{answer}</allow_active>
    </defaults>
  </action>
"""

#: What libvirt's access driver asks about whoever only looks, and about what a guest is made and ended by.
_LOOKING = ("connect.getattr", "connect.read", "connect.search-domains", "domain.getattr", "domain.read")
_CHANGING = ("domain.write", "domain.save", "domain.start", "domain.stop", "domain.delete")


class Polkit:
    """See the module. A context manager; `bus` is the bus's socket."""

    def __init__(self, answer: str | None) -> None:
        """`answer` in polkit's words: `yes`, `no`, `auth_admin`; None is a bus on which there is no polkitd."""
        self.base = Path(tempfile.mkdtemp(prefix="vmx-polkit-"))
        self.base.chmod(0o755)
        self.bus = self.base / "bus"
        for name in ("actions", "services"):
            (self.base / name).mkdir()
        (self.base / "bus.conf").write_text(BUS.format(base=self.base))
        if answer is not None:
            program = next(path for path in PROGRAMS if path.exists())
            (self.base / "services" / "polkit.service").write_text(SERVICE.format(program=program))
            self.answer(answer)

    @staticmethod
    def missing() -> str | None:
        """What this machine lacks for it."""
        if shutil.which("dbus-daemon") is None:
            return "no dbus-daemon here: install it"
        if not ACTIONS.is_dir() or not any(path.exists() for path in PROGRAMS):
            return "no polkitd here: install it"
        if subprocess.run([*AS_NOBODY, sys.executable, "-c", ""], stderr=subprocess.DEVNULL, check=False).returncode:
            return f"{sys.executable} is not for every user"
        return None

    def answer(self, answer: str) -> None:
        """Answer like this from now on; polkitd sees that the file has changed."""
        self._write("unix", {"unix.manage": answer})

    def answer_about_consoles(self, answer: str) -> None:
        """Answer libvirt's access driver like this whether a console may be opened; whoever is not root may look
        besides, and change nothing. To be told before polkitd is asked anything."""
        answers = dict.fromkeys(_LOOKING, "yes") | dict.fromkeys(_CHANGING, "no") | {"domain.open-device": answer}
        self._write("api", {f"api.{name}": answer for name, answer in answers.items()})

    def _write(self, file: str, answers: Mapping[str, str]) -> None:
        actions = "".join(ACTION.format(name=name, answer=answer) for name, answer in answers.items())
        (self.base / "actions" / f"org.libvirt.{file}.policy").write_text(POLICY.format(actions=actions))

    def __enter__(self) -> Self:
        isolated = ["unshare", "--mount", "sh", "-euc", LAUNCH, "sh", str(self.base)]
        self._reaper = subprocess.Popen(
            [*AS_ROOT, sys.executable, str(REAPER), *isolated],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self._reaper.stdout is not None
        self._reaper.stdout.readline()  # the address: it listens
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._reaper.stdin is not None
        assert self._reaper.stdout is not None
        self._reaper.stdin.close()
        self._reaper.wait(20.0)
        self._reaper.stdout.close()
        run_as_root("rm", "-rf", "--one-file-system", self.base)
