"""The service while it is updated, and after it was removed, by the guide's own commands."""

from tests.harness.pages import OPERATORS, commands
from tests.harness.service import GUEST, OFFLINE, REMOVING, UPDATING, attached, installed, pid
from tests.harness.systemd_machine import CHECKOUT, SystemdMachine

#: What is left, as the guide says.
LEFT = {"/etc/virtmux", "/var/lib/virtmux", "/var/log/virtmux"}


def test_clients_go_on_over_an_update_and_a_removal_leaves_what_is_said_and_no_more() -> None:
    with installed() as machine:
        assert machine.run("man", "--where", "virtmux", "virtmuxd").returncode == 0
        machine.write("/etc/virtmux/virtmuxd.toml", "linger = 30\n")
        former = pid(machine)
        with attached(machine, "alice") as alice:
            machine.run("sh", "-euxc", commands(OPERATORS, UPDATING), cwd=CHECKOUT, environment=OFFLINE)
            alice.until(said=b"attached again")
            alice.write(b"here again")
            alice.until(output=b"here again")
        assert pid(machine) != former

        machine.run("sh", "-euxc", commands(OPERATORS, REMOVING))
        assert found(machine) == LEFT
        assert machine.run("virsh", "domstate", GUEST).stdout.strip() == "running"
        assert not machine.systemctl("list-units", "--all", "--plain", "--no-legend", "virtmux*")


def found(machine: SystemdMachine) -> set[str]:
    """What has virtmux's name where installed things lie."""
    places = ("/etc", "/opt", "/run", "/usr/local", "/var/lib", "/var/log")
    looked = machine.run("find", *places, "-name", "*virtmux*", "-prune")
    return set(looked.stdout.split())
