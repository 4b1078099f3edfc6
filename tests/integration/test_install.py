"""What README.md has people install, from where they would get it, into an environment of the tests' own."""

import re
import subprocess
from pathlib import Path

from tests.harness.pages import README, blocks
from tests.harness.systemd_machine import CHECKOUT


def installing(place: Path) -> str:
    """The commands of `Your own guests` that make the environment, at another place than theirs."""
    block, _ = blocks(README, "Your own guests", "sh")
    lines = re.findall(r"^sudo (.* /opt/virtmux|/opt/virtmux/bin/pip install .*)$", block, re.MULTILINE)
    return "\n".join(lines).replace("/opt/virtmux", str(place))


def test_by_hashes_alone_there_is_a_daemon_and_a_command_that_have_all_they_need(tmp_path: Path) -> None:
    commands = installing(tmp_path / "virtmux")
    assert commands.count("--require-hashes") == 2
    subprocess.run(["sh", "-euxc", commands], check=True, cwd=CHECKOUT)

    def said(program: str, *arguments: str) -> str:
        command = [str(tmp_path / "virtmux" / "bin" / program), *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=tmp_path).stdout

    assert re.fullmatch(r"virtmuxd [\d.]+\n", said("virtmuxd", "--version"))
    assert re.fullmatch(r"virtmux [\d.]+\n", said("virtmux", "--version"))
    assert said("python", "-c", "import libvirt, uvloop, virtmuxd.app") == ""
    assert said("pip", "check") == "No broken requirements found.\n"
