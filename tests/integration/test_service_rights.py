"""What the service may do on its host and at libvirt, while its consoles are in use."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.pages import OPERATORS, commands
from tests.harness.service import GUEST, SERVICE, attached, pid, set_up
from tests.harness.systemd_machine import CHECKOUT, SystemdMachine

pytestmark = pytest.mark.usefixtures("service")

#: What is tried in the daemon's place: as its user, in its namespaces and under its filters. It fails, or says nothing.
TRIES = """
import ctypes, errno, mmap, os, socket, sys
from pathlib import Path

def refused(call, *numbers):
    try:
        call()
    except OSError as error:
        assert error.errno in numbers, error
    else:
        raise AssertionError("it was allowed")

for place in ("/", "/etc", "/usr", "/var", "/opt"):
    assert os.statvfs(place).f_flag & os.ST_RDONLY, place
for place in ("/run/virtmux", "/var/log/virtmux", "/var/lib/virtmux"):
    path = Path(place, "tried")
    path.write_text("x")
    os.chown(path, -1, os.getgid())
    path.unlink()
refused(lambda: os.listdir("/home"), errno.EACCES)
assert os.listdir("/tmp") == []
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET):
    refused(lambda: socket.socket(family, socket.SOCK_RAW), errno.EAFNOSUPPORT)
socket.socket(socket.AF_UNIX).close()
refused(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC), errno.EPERM, errno.EACCES)
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER = 0x10000000
assert (libc.unshare(CLONE_NEWUSER), ctypes.get_errno()) == (-1, errno.EPERM)
assert (libc.mount(b"none", b"/tmp", b"tmpfs", 0, None), ctypes.get_errno()) == (-1, errno.EPERM)

# What it needs to know of its clients and of the host.
assert Path("/proc/1/comm").read_text() == "systemd\\n"
assert "init.scope" in Path("/proc/1/cgroup").read_text()
assert Path("/proc/sys/kernel/random/boot_id").read_text()
"""
OUR_RULE = "/etc/polkit-1/rules.d/60-virtmux.rules"
DEBIANS_RULE = "/usr/share/polkit-1/rules.d/60-libvirt.rules"


def status(machine: SystemdMachine) -> dict[str, str]:
    """/proc/PID/status of the daemon."""
    lines = machine.run("cat", f"/proc/{pid(machine)}/status").stdout.splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def namespaces(machine: SystemdMachine, process: int) -> dict[str, str]:
    """By their kind."""
    kinds = ("mnt", "net", "user", "pid")
    names = machine.run("readlink", *(f"/proc/{process}/ns/{kind}" for kind in kinds)).stdout.split()
    return dict(zip(kinds, names, strict=True))


def test_the_sandbox_is_on_while_a_console_is_in_use(machine: SystemdMachine) -> None:
    machine.write("/run/tries.py", TRIES)
    set_up(machine, "ExecReload=\nExecReload=/usr/bin/python3 /run/tries.py")
    with attached(machine) as alice:
        machine.systemctl("reload", SERVICE)
        found = status(machine)
        assert {found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0000000000000000"}
        assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
        user = machine.run("id", "-u", "virtmuxd").stdout.strip()
        assert found["Uid"].split() == [user] * 4
        ours, systemds = namespaces(machine, pid(machine)), namespaces(machine, 1)
        assert {kind for kind in ours if ours[kind] != systemds[kind]} == {"mnt", "net"}
        limits = machine.run("cat", f"/proc/{pid(machine)}/limits").stdout
        assert "Max core file size        0 " in limits
        private = [f"/proc/{pid(machine)}/{name}" for name in ("mem", "environ")]
        assert machine.run("stat", "--format=%U", *private).stdout.split() == ["root"] * 2
        assert machine.run("cat", *private, user="virtmuxd", check=False).stdout == "", "not for its own user either"
        alice.write(b"still here")
        alice.until(output=b"still here")


def test_metrics_are_served_at_a_socket_that_was_made_outside_of_the_sandbox(machine: SystemdMachine) -> None:
    fetch = "import urllib.request as http; print(http.urlopen('http://127.0.0.1:9177/metrics').read().decode())"
    assert machine.run("python3", "-c", fetch, check=False).returncode, "nobody has asked for them"
    machine.run("sh", "-euc", commands(OPERATORS, "Metrics"))
    try:
        with attached(machine):
            assert f'domain="{GUEST}"' in machine.run("python3", "-c", fetch).stdout
        machine.systemctl("stop", "virtmuxd.socket")
        assert machine.show("virtmux-metrics.socket", "ActiveState") == "inactive"
    finally:
        machine.systemctl("disable", "--now", "virtmux-metrics.socket")


def test_the_journal_can_be_given_to_a_group(machine: SystemdMachine) -> None:
    machine.write("/etc/virtmux/virtmuxd.toml", 'log_group = "adm"\n')
    set_up(machine, "LogsDirectoryMode=0750\nSupplementaryGroups=adm")
    machine.systemctl("restart", SERVICE)
    with attached(machine):
        logs = f"/var/log/virtmux/{GUEST}"
        machine.until(lambda: "serial0.log" in machine.run("ls", logs, check=False).stdout)
        found = machine.run("stat", "-L", "--format=%U:%G %a", logs, f"{logs}/serial0.log").stdout.splitlines()
    assert found == ["virtmuxd:adm 750", "virtmuxd:adm 640"]


# At libvirt, where polkit decides.


@pytest.fixture
def without_debians_rule(machine: SystemdMachine) -> Iterator[None]:
    """libvirt's own answer to its group is not given: as where a distribution has no such rule."""

    def restart_polkit() -> None:
        machine.systemctl("reset-failed", "polkit.service")  # how often it may start is limited
        machine.systemctl("restart", "polkit.service")

    machine.run("mv", DEBIANS_RULE, "/run/debians")
    try:
        restart_polkit()
        yield
    finally:
        machine.run("mv", "/run/debians", DEBIANS_RULE)
        restart_polkit()


@pytest.fixture
def access_driver(machine: SystemdMachine, without_debians_rule: None) -> Iterator[None]:
    """libvirtd asks polkit about each call."""
    file = "/etc/libvirt/libvirtd.conf"
    machine.run("cp", file, "/run/libvirtd.conf")
    try:
        machine.run("sh", "-euc", f"echo 'access_drivers = [ \"polkit\" ]' >>{file}")
        machine.systemctl("restart", "libvirtd.service")
        yield
    finally:
        machine.run("cp", "/run/libvirtd.conf", file)
        machine.systemctl("restart", "libvirtd.service")


@pytest.mark.usefixtures("without_debians_rule")
def test_our_polkit_rule_lets_the_daemon_in(machine: SystemdMachine) -> None:
    machine.systemctl("restart", SERVICE)
    with attached(machine):
        pass
    machine.run("mv", OUR_RULE, "/run/ours")
    try:
        machine.systemctl("restart", "polkit.service")
        machine.systemctl("restart", SERVICE)
        machine.until(lambda: "hypervisor-denied" in machine.run("virtmux", "list", "--json", user="alice").stdout)
    finally:
        machine.run("mv", "/run/ours", OUR_RULE)
        machine.systemctl("restart", "polkit.service")


@pytest.mark.usefixtures("access_driver")
def test_where_libvirt_asks_about_each_call_consoles_can_be_used_and_guests_not_be_changed(
    machine: SystemdMachine,
) -> None:
    machine.systemctl("restart", SERVICE)
    with attached(machine) as alice:
        for command in (["key", GUEST, "f2"], ["nmi", GUEST]):
            refused = machine.run("virtmux", *command, check=False)
            assert "access denied" in refused.stderr, refused
        as_daemon = machine.run("virsh", "-c", "qemu:///system", "destroy", GUEST, user="virtmuxd", check=False)
        assert "access denied" in as_daemon.stderr
        alice.write(b"unharmed")
        alice.until(output=b"unharmed")


# At another host.

#: An ssh server in the machine. It prints the URI of the machine's libvirtd beyond it, and serves until it is killed.
SSHD = """
import asyncio, sys
from pathlib import Path
from tests.harness.sshd import serve_ssh

async def main():
    async with serve_ssh(Path(sys.argv[1])) as sshd:
        print(sshd.uri(Path("/run/libvirt/libvirt-sock")), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def beyond_ssh(machine: SystemdMachine) -> Iterator[str]:
    """The URI of a hypervisor that takes a network, with a key that is the daemon's."""
    place = "/var/lib/virtmux/ssh"
    machine.run("install", "-d", place)
    command = machine.command(sys.executable, "-c", SSHD, place, cwd=CHECKOUT)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sshd:
        try:
            assert sshd.stdout is not None
            uri = sshd.stdout.readline().strip()
            machine.run("chown", "-R", "virtmuxd:", place)
            yield uri
        finally:
            machine.run("pkill", "-KILL", "-f", place)


def test_a_hypervisor_beyond_ssh_takes_the_drop_in_that_is_shipped(machine: SystemdMachine, beyond_ssh: str) -> None:
    machine.write("/etc/virtmux/virtmuxd.toml", f'uri = ["{beyond_ssh}"]\n')
    machine.systemctl("restart", SERVICE)
    machine.until(lambda: "hypervisor-lost" in machine.run("virtmux", "list", "--json", user="alice").stdout)
    example = machine.run("cat", "/etc/systemd/system/virtmuxd.service.d/qemu-ssh.conf.example").stdout
    machine.write("/run/systemd/system/virtmuxd.service.d/qemu-ssh.conf", example)
    machine.systemctl("daemon-reload")
    machine.systemctl("restart", SERVICE)
    with attached(machine, "alice", "--wait") as alice:
        alice.write(b"over ssh")
        alice.until(output=b"over ssh")
    machine.run("rm", "/etc/virtmux/virtmuxd.toml")
    machine.systemctl("restart", SERVICE)


# A user's own.


def test_a_users_own_units_serve_the_users_own_guests(machine: SystemdMachine) -> None:
    machine.write("/run/systemd/system/manager.service", MANAGER)
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "manager.service")
    session = {"XDG_RUNTIME_DIR": "/run/user/1777", "HOME": "/home/alice"}

    def as_alice(*command: str | Path, check: bool = True) -> str:
        return machine.run(*command, user="alice", environment=session, check=check).stdout

    try:
        said = as_alice("/opt/virtmux/bin/virtmuxd", "--session", "--install-units")
        assert "/home/alice/.config/systemd/user/virtmuxd.service" in said
        as_alice("systemctl", "--user", "daemon-reload")
        as_alice("systemctl", "--user", "enable", "--now", "virtmuxd.socket", "virtmuxd-ro.socket", SERVICE)
        assert as_alice("systemctl", "--user", "is-active", SERVICE) == "active\n"
        mux = ("virtmux", "--socket", "/run/user/1777/virtmux/virtmux.sock")
        machine.until(lambda: "qemu:///session" in as_alice(*mux, "status"))
        machine.until(lambda: "libvirtd" in as_alice("ps", "-u", "alice", "-o", "comm="))
        as_alice("systemctl", "--user", "restart", SERVICE)
        assert "libvirtd" in as_alice("ps", "-u", "alice", "-o", "comm="), "it is not virtmuxd's to end"
    finally:
        machine.systemctl("stop", "manager.service")


#: What logind would start for a user.
MANAGER = """\
[Service]
User=alice
Type=notify
Delegate=yes
RuntimeDirectory=user/1777
RuntimeDirectoryMode=0700
Environment=XDG_RUNTIME_DIR=/run/user/1777
ExecStart=/lib/systemd/systemd --user
"""
