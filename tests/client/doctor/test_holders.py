"""Who may hold a console, by the command lines of processes."""

from pathlib import Path

import pytest

from tests.harness.life import libvirt_error
from tests.harness.scripted_daemon import reason
from virtmux.reasons import Cause
from virtmux_cli.doctor.holders import find_holders, is_virsh_console, program

NAMES = ("web1", "5d3f9a5e-0000-4000-8000-000000000001")
BUSY = reason(Cause.CONSOLE_BUSY)


def processes(proc: Path, *lines: str) -> Path:
    for pid, line in enumerate(lines, 100):
        (proc / str(pid)).mkdir()
        (proc / str(pid) / "cmdline").write_bytes(line.replace(" ", "\0").encode() + b"\0")
    (proc / "self").mkdir()
    (proc / "99").mkdir()  # it has ended
    return proc


def test_virsh_at_this_domain_is_sure_and_comes_first(tmp_path: Path) -> None:
    proc = processes(tmp_path, "/usr/bin/python3 /usr/bin/virt-manager", "virsh -c qemu:///system console web1", "bash")
    found = find_holders(NAMES, BUSY, proc)
    assert [(holder.pid, holder.what, holder.sure) for holder in found] == [
        (101, "virsh -c qemu:///system console web1", True),
        (100, "/usr/bin/python3 /usr/bin/virt-manager", False),
    ]


def test_who_has_the_lock_file_is_sure(tmp_path: Path) -> None:
    error = libvirt_error(9, 0, "Requested device '/dev/pts/3' is locked by lock file '/x' held by process 100")
    found = find_holders(NAMES, reason(Cause.CONSOLE_BUSY, error=error), processes(tmp_path, "minicom -p /dev/pts/3"))
    assert [(holder.pid, holder.sure) for holder in found] == [(100, True)]


def test_nobody_may_hold_it(tmp_path: Path) -> None:
    assert find_holders(NAMES, BUSY, processes(tmp_path, "virsh console db1", "vi console web1", "")) == []


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("virsh console web1", True),
        ("/usr/bin/virsh -c qemu:///system console --force web1", True),
        ("virsh console 5d3f9a5e-0000-4000-8000-000000000001 --devname serial0", True),
        ("virsh console web10", False),
        ("virsh destroy web1", False),
        ("grep virsh console web1", False),
    ],
)
def test_what_is_virsh_at_its_console(line: str, named: bool) -> None:
    assert is_virsh_console(line.split(), NAMES) is named


@pytest.mark.parametrize(
    ("line", "name"),
    [("/usr/bin/python3.11 -s /usr/bin/virt-manager --no-fork", "virt-manager"), ("virsh", "virsh"), ("", "")],
)
def test_an_interpreter_is_no_program(line: str, name: str) -> None:
    assert program(line.split()) == name
