"""virtmuxd as a service, installed by the guide's own commands, under a real systemd with Debian's libvirtd."""

import json

import pytest

from tests.harness.flood import numbers
from tests.harness.pages import OPERATORS, commands
from tests.harness.service import GUEST, INSTALLING, OFFLINE, SERVICE, SOCKETS, UPDATING, attached, pid, set_up
from tests.harness.systemd_machine import CHECKOUT, SystemdMachine

pytestmark = pytest.mark.usefixtures("service")

PLACES = {
    "/run/virtmux": "virtmuxd:virtmuxd 755",
    "/run/virtmux/virtmux.sock": "root:virtmux 660",
    "/run/virtmux/virtmux-ro.sock": "root:virtmux-watch 660",
    "/var/lib/virtmux": "virtmuxd:virtmuxd 700",
    "/var/log/virtmux": "virtmuxd:virtmuxd 700",
}


# Installed, and started.


def test_the_guides_commands_make_the_user_and_the_groups_and_start_the_service(machine: SystemdMachine) -> None:
    assert machine.run("id", "-nG", "virtmuxd").stdout.split() == ["virtmuxd", "libvirt"]
    assert "virtmux" in machine.run("id", "-nG", "alice").stdout.split()
    assert machine.run("getent", "group", "virtmux-watch").returncode == 0
    for unit in (SERVICE, *SOCKETS):
        assert (machine.show(unit, "ActiveState"), machine.show(unit, "UnitFileState")) == ("active", "enabled")
    assert machine.show("virtmux-metrics.socket", "ActiveState") == "inactive"
    found = machine.run("stat", "--format=%n %U:%G %a", *map(str, PLACES)).stdout.splitlines()
    assert found == [f"{place} {owner}" for place, owner in PLACES.items()]


def test_whoever_is_in_the_group_uses_consoles_and_nobody_else_does(machine: SystemdMachine) -> None:
    with attached(machine, "alice") as alice:
        alice.write(b"hello")
        alice.until(output=b"hello")
    refused = machine.run("virtmux", "list", user="bob", check=False)
    assert refused.returncode == 4, refused.stderr


def test_install_units_says_that_all_is_there_already(machine: SystemdMachine) -> None:
    said = machine.run("/opt/virtmux/bin/virtmuxd", "--install-units").stdout.splitlines()
    assert [line for line in said if line.startswith("written")] == []
    steps = [line.strip() for line in said[said.index("nothing is enabled or started; the next steps are:") + 1 :]]
    installing = commands(OPERATORS, INSTALLING) + commands(OPERATORS, UPDATING)
    assert [step for step in steps if step.partition("    #")[0].replace("NAME", "alice") not in installing] == []


@pytest.mark.parametrize(
    ("prefix", "packages"), [("/usr", "python3/dist-packages"), ("/usr/local", "python3.*/dist-packages")]
)
def test_make_install_makes_a_package_of_which_nothing_runs(
    machine: SystemdMachine, prefix: str, packages: str
) -> None:
    """By Debian's own Python, which has a place for packages and another for what is installed by hand."""
    arguments = ("DESTDIR=/run/package", f"PREFIX={prefix}", "PYTHON=/usr/bin/python3")
    brought = machine.run("sh", "-c", "echo /opt/virtmux/lib/*/site-packages").stdout.strip()
    machine.run("make", "--silent", "install", *arguments, cwd=CHECKOUT, environment=OFFLINE | {"PYTHONPATH": brought})
    for place in ("bin/virtmuxd", "bin/virtmux", "lib/systemd/system/virtmuxd.service", "share/man/man8/virtmuxd.8"):
        machine.run("test", "-f", f"/run/package{prefix}/{place}")
    modules = machine.run("sh", "-c", f"echo /run/package{prefix}/lib/{packages}").stdout.strip()
    command = (f"/run/package{prefix}/bin/virtmuxd", "--version")
    version = machine.run(*command, environment={"PYTHONPATH": f"{modules}:{brought}"})
    assert version.stdout.startswith("virtmuxd ")
    machine.run("rm", "-r", "/run/package")


def test_a_client_starts_the_service(machine: SystemdMachine) -> None:
    machine.systemctl("stop", SERVICE)
    assert machine.show("virtmuxd.socket", "SubState") == "listening"
    assert GUEST in machine.run("virtmux", "list", user="alice").stdout
    assert machine.show(SERVICE, "ActiveState") == "active"


def test_it_is_ready_once_the_sockets_are_served_also_while_libvirtd_hangs(machine: SystemdMachine) -> None:
    libvirtd = machine.show("libvirtd.service", "MainPID")
    machine.run("kill", "-STOP", libvirtd)
    try:
        machine.systemctl("restart", SERVICE)  # returns once the daemon has said that it is ready
        assert machine.run("virtmux", "status", user="alice").returncode == 0
    finally:
        machine.run("kill", "-CONT", libvirtd)
    with attached(machine):
        pass


def test_a_configuration_that_cannot_be_used_is_not_tried_again_and_again(machine: SystemdMachine) -> None:
    machine.systemctl("stop", SERVICE)
    machine.write("/etc/virtmux/virtmuxd.toml", "attatch = 'always'\n")
    assert machine.run("systemctl", "start", SERVICE, check=False).returncode != 0
    assert machine.show(SERVICE, "ExecMainStatus") == "2"
    assert (machine.show(SERVICE, "ActiveState"), machine.show(SERVICE, "NRestarts")) == ("failed", "0")


# Reloaded, restarted and stopped.


def test_a_file_that_cannot_be_used_makes_reload_fail_and_says_why(machine: SystemdMachine) -> None:
    daemon = pid(machine)
    machine.write("/etc/virtmux/virtmuxd.toml", "attatch = 'always'\n")
    assert machine.run("systemctl", "reload", SERVICE, check=False).returncode != 0
    assert (pid(machine), machine.show(SERVICE, "ActiveState")) == (daemon, "active")
    logged = [entry["MESSAGE"] for entry in machine.journal(f"--unit={SERVICE}", "--lines=20")]
    assert any("attatch" in str(message) and "attach" in str(message) for message in logged), logged


def test_a_reload_puts_a_policy_into_effect_while_the_daemon_runs_on(machine: SystemdMachine) -> None:
    machine.systemctl("restart", SERVICE)  # a test before may have left the console open, which lingers
    daemon = pid(machine)
    assert state(machine) == "absent"
    machine.run("sh", "-euc", commands(OPERATORS, "Attach policies and their price"))
    machine.until(lambda: state(machine) == "attached")
    assert pid(machine) == daemon


def state(machine: SystemdMachine) -> str:
    """That of the guest's console, as alice sees it."""
    rows = map(json.loads, machine.run("virtmux", "list", "--json", user="alice").stdout.splitlines())
    (console,) = (row for row in rows if row["type"] == "console")
    return str(console["state"])


def test_a_daemon_that_hangs_is_started_again_and_its_clients_go_on(machine: SystemdMachine) -> None:
    set_up(machine, "WatchdogSec=2")
    machine.systemctl("restart", SERVICE)
    with attached(machine) as alice:
        hung = pid(machine)
        machine.run("kill", "-STOP", str(hung))
        machine.until(lambda: pid(machine) not in {0, hung})
        alice.until(said=b"attached again")
        alice.write(b"here again")
        alice.until(output=b"here again")
    logged = [str(entry["MESSAGE"]) for entry in machine.journal(f"--unit={SERVICE}", "--lines=60")]
    assert any("Watchdog timeout" in message for message in logged), logged
    assert any("Current thread" in message for message in logged), "where it hung"


def test_a_daemon_that_is_well_feeds_the_watchdog(machine: SystemdMachine) -> None:
    set_up(machine, "WatchdogSec=1")
    machine.systemctl("restart", SERVICE)
    daemon, started = pid(machine), machine.show(SERVICE, "WatchdogTimestampMonotonic")
    machine.until(lambda: int(machine.show(SERVICE, "WatchdogTimestampMonotonic")) > int(started) + 2_000_000)
    assert pid(machine) == daemon


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(("restart", SERVICE), id="restart"),
        pytest.param(("restart", *SOCKETS, SERVICE), id="a package's scripts"),
        pytest.param(("kill", "--signal=KILL", SERVICE), id="kill"),
    ],
)
def test_clients_go_on_at_their_position_when_the_service_restarts(
    machine: SystemdMachine, how: tuple[str, ...]
) -> None:
    with attached(machine) as alice, attached(machine) as bob:
        alice.write(b"before the restart|")
        for one in (alice, bob):
            one.until(output=b"before the restart|")
        machine.systemctl(*how)
        for one in (alice, bob):
            one.until(said=b"attached again")
        alice.write(b"behind it|")
        for one in (alice, bob):
            one.until(output=b"behind it|")
            assert one.output.count(b"before the restart|behind it|") == 1
            assert one.output.count(b"behind it|") == 1


def test_a_guest_that_prints_through_a_restart_loses_only_what_the_break_names(machine: SystemdMachine) -> None:
    with attached(machine) as alice:
        alice.write(b"\x06")
        alice.until(output=b"line 00000100\r\n")
        machine.systemctl("restart", SERVICE)
        alice.until(said=b"nobody held the console from")
        alice.until(said=b"attached again")
        alice.until(output=b"00\r\n", start=len(alice.output))
        alice.write(b"!")
        alice.until(output=b"\r\n!")
    told = numbers(alice.output)
    assert told == sorted(set(told)), "none comes twice"
    events = machine.run("virtmux", "events", "--since", "-5m", "--json").stdout.splitlines()
    *_, last_break = (event for event in map(json.loads, events) if event["event"] == "break")
    # Behind it comes what was left in the terminal when it was let go, and then what the guest says now.
    logged = machine.run("head", "-c", str(last_break["offset"]), f"/var/log/virtmux/{GUEST}/serial0.log").stdout
    before = numbers(logged.encode())
    assert before == list(range(1, len(before) + 1)), "none is missing before the break"


def test_what_resuming_needs_outlives_a_stop(machine: SystemdMachine) -> None:
    with attached(machine):
        rings = machine.run("find", "/run/virtmux/rings", "-type", "f").stdout
        assert rings
    machine.systemctl("stop", SERVICE)
    assert machine.run("find", "/run/virtmux/rings", "-type", "f").stdout == rings


def test_the_socket_stops_all_units_and_nothing_is_left_where_clients_look(machine: SystemdMachine) -> None:
    machine.systemctl("stop", "virtmuxd.socket")
    for unit in (SERVICE, *SOCKETS):
        assert machine.show(unit, "ActiveState") == "inactive"
    assert machine.run("sh", "-c", "ls /run/virtmux/*.sock", check=False).stdout == ""
    gone = machine.run("virtmux", "list", user="alice", check=False)
    assert gone.returncode == 5, gone.stderr
