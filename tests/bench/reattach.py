"""How long consoles are held by nobody when the service is restarted: `make bench`, or by itself.

It is the service as the README installs it, under a real systemd: a user of its own in a sandbox, whom polkit lets in
for each connection. All consoles are always held. Measured is the time from the start of the new process until the
service is ready, and until the last console is attached; and the break that the last one has on record, which begins
where the old daemon let it go. The guests are paused before their first instruction, so that nothing but virtmuxd,
libvirtd and polkitd is in the way.
"""

import json
import statistics
import time
from datetime import datetime
from typing import Any, NamedTuple

from tests.bench.tables import keep
from tests.harness.service import SERVICE, installed
from tests.harness.systemd_machine import SystemdMachine

#: Consoles, and the seconds within which they are to be attached again.
CASES = ((100, 1.0), (1000, 10.0))
#: Consoles of a guest, its serial port included; and those of a controller of the virtio bus.
CONSOLES = 100
PORTS = 30
RUNS = 3
#: Seconds between two looks: with many consoles a look is work for the daemon, too.
LOOK_S = 2.0
DEADLINE_S = 300.0


class Restart(NamedTuple):
    """Seconds."""

    ready: float
    attached: float
    held_by_nobody: float


def seconds(text: str) -> float:
    """A time of the protocol, since the epoch."""
    return datetime.fromisoformat(text).timestamp()


def console_xml(number: int) -> str:
    """A console on the virtio bus, the first of a controller with that."""
    controller, port = divmod(number, PORTS)
    bus = f"<controller type='virtio-serial' index='{controller}'/>" if port == 0 else ""
    address = f"<address type='virtio-serial' controller='{controller}' bus='0' port='{port + 1}'/>"
    return f"{bus}<console type='pty'><target type='virtio'/>{address}</console>"


def told(machine: SystemdMachine, *command: str) -> list[dict[str, Any]]:
    """The lines that a command of virtmux prints."""
    return [json.loads(line) for line in machine.run("virtmux", *command, "--json").stdout.splitlines()]


def until_attached(machine: SystemdMachine, number: int) -> dict[str, Any]:
    """The last of so many consoles to be attached, once it is."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        held = [row for row in told(machine, "list") if row["type"] == "console" and row["state"] == "attached"]
        if len(held) == number:
            return max(held, key=lambda row: str(row["since"]))
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(held)} of {number} consoles are attached")
        time.sleep(LOOK_S)


def restart(machine: SystemdMachine, number: int) -> Restart:
    """Stop the service, and start it again."""
    machine.systemctl("restart", SERVICE)
    began, ready = (
        int(machine.show(SERVICE, name)) / 1e6
        for name in ("ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic")
    )
    last = until_attached(machine, number)
    attached = seconds(last["since"]) - (time.time() - time.monotonic())
    domain, device = last["id"]["domain"], last["id"]["device"]
    *_, newest = (
        row
        for row in told(machine, "events", "--since", "-1h")
        if row["event"] == "break" and (row["console"]["domain"], row["console"]["device"]) == (domain, device)
    )
    return Restart(ready - began, attached - began, seconds(newest["to"]) - seconds(newest["from"]))


def measure(machine: SystemdMachine, number: int) -> list[Restart]:
    """Restarts of the service with so many consoles, those that were there before among them."""
    devices = "".join(map(console_xml, range(CONSOLES - 1)))
    for each in range(len(machine.run("virsh", "list", "--name").stdout.split()), number // CONSOLES):
        machine.start_guest(f"bench{each}", devices=devices, paused=True)
    until_attached(machine, number)
    return [restart(machine, number) for _ in range(RUNS)]


def report() -> str:
    """The table: medians, and how the time to the last console stands to its target."""
    lines = ["consoles  ready s  attached s  held by nobody s  of the target"]
    with installed(guest=False) as machine:
        machine.write("/etc/virtmux/virtmuxd.toml", 'attach = "always"\n')
        machine.systemctl("restart", SERVICE)
        for number, target in CASES:
            ready, attached, nobody = map(statistics.median, zip(*measure(machine, number), strict=True))
            lines.append(f"{number:8}  {ready:7.2f}  {attached:10.2f}  {nobody:16.2f}  {attached / target:13.2f}")
    return "\n".join([*lines, ""])


def main() -> None:
    """Print the table, and keep it."""
    keep("reattach", report())


if __name__ == "__main__":
    main()
