"""What it takes to hold many consoles at which nothing happens, and how long they are held by nobody when the service
is restarted: `make bench`, or by itself.

It is the service as docs/operators.md has it installed, under a real systemd: a user of its own in a sandbox, whom
polkit lets in for each connection. All consoles are always held. The guests are paused before their first instruction,
so that nothing but virtmuxd, libvirtd and polkitd is in the way.

Of a restart the time is measured from the start of the new process until the service is ready, and until the last
console is attached; and the break that the last one has on record, which begins where the old daemon let it go. At
rest, the CPU of the daemon, and of libvirtd on its behalf; the latter also while conserver holds the same consoles, by
a `virsh console` for each.
"""

import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from tests.bench import tables
from tests.bench.peers.multiplexers import conserver_config
from tests.bench.peers.packages import LIBRARIES, NotToBeHadError, program
from tests.bench.plots import Axes, plot, slope
from tests.bench.tables import Target, keep
from tests.harness.service import SERVICE, installed, pid
from tests.harness.systemd_machine import SystemdMachine

#: Consoles, and the seconds within which they are to be attached again.
CASES = ((100, 1.0), (400, 4.0), (1000, 10.0))
#: Seconds of which a process's CPU is measured while nothing happens, and for it to come to rest before.
REST_S = 10.0
SETTLE_S = 3.0
#: What the daemon may have at rest: parts of a processor, and memory, in KiB for itself and for each console.
CPU = 0.01
RSS_KIB, RSS_CONSOLE_KIB = 80 << 10, 40
#: Consoles of a guest, its serial port included; and those of a controller of the virtio bus.
CONSOLES = 100
PORTS = 30
RUNS = 1
#: Seconds between two looks: with many consoles a look is work for the daemon, too.
LOOK_S = 2.0
DEADLINE_S = 300.0


class Restart(NamedTuple):
    """Seconds."""

    ready: float
    attached: float
    held_by_nobody: float


class Rest(NamedTuple):
    """While nothing happens: CPU of the daemon and of libvirtd, in parts of a processor; KiB of the daemon."""

    daemon: float
    libvirtd: float
    rss: int


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


def start_guests(machine: SystemdMachine, number: int) -> None:
    """Have guests with so many consoles, those that are there among them."""
    devices = "".join(map(console_xml, range(CONSOLES - 1)))
    for each in range(len(machine.run("virsh", "list", "--name").stdout.split()), number // CONSOLES):
        machine.start_guest(f"bench{each}", devices=devices, paused=True)


def cpu(machine: SystemdMachine, process: int) -> float:
    """What a process of the machine has used in all, in seconds."""
    stats = machine.run("sh", "-c", f"cat /proc/{process}/task/*/schedstat").stdout.splitlines()
    return sum(int(stat.split()[0]) for stat in stats) / 1e9


def used_at_rest(machine: SystemdMachine, *processes: int) -> list[float]:
    """What each uses while nothing happens, in parts of a processor."""
    time.sleep(SETTLE_S)
    before, began = [cpu(machine, each) for each in processes], time.monotonic()
    time.sleep(REST_S)
    took = time.monotonic() - began
    return [(cpu(machine, each) - used) / took for each, used in zip(processes, before, strict=True)]


def libvirtd(machine: SystemdMachine) -> int:
    """Its pid."""
    return int(machine.show("libvirtd.service", "MainPID"))


def rest(machine: SystemdMachine) -> Rest:
    """Measure the service."""
    process = pid(machine)
    ours, theirs = used_at_rest(machine, process, libvirtd(machine))
    status = machine.run("cat", f"/proc/{process}/status").stdout
    return Rest(ours, theirs, int(status.partition("VmRSS:")[2].split()[0]))


@contextmanager
def conserver(machine: SystemdMachine) -> Iterator[None]:
    """Instead of the service, with the same consoles.

    Raises:
        NotToBeHadError: see there.
    """
    consoles = [(row["id"]["domain"], row["id"]["device"]) for row in told(machine, "list") if row["type"] == "console"]
    command = [program("usr/sbin/conserver"), "-M", "127.0.0.1", "-C", "/run/conserver.cf", "-P", "/dev/null"]
    machine.systemctl("stop", SERVICE, "virtmuxd.socket", "virtmuxd-ro.socket")
    machine.write("/run/conserver.cf", conserver_config("qemu:///system", consoles))
    setting = f"LD_LIBRARY_PATH={LIBRARIES}"
    service = ["--unit=conserver", "--property=TasksMax=infinity", "--property=LimitNOFILE=65536"]
    machine.run("systemd-run", *service, f"--setenv={setting}", *map(str, command), "-L", "/dev/null", "-E")
    try:
        held = f"ls -l /proc/{libvirtd(machine)}/fd | grep -c /dev/pts/"
        machine.until(
            lambda: int(machine.run("sh", "-c", held, check=False).stdout) >= len(consoles), seconds=DEADLINE_S
        )
        yield
    finally:
        machine.systemctl("stop", "conserver")


def report(restarts: dict[int, Restart], rests: dict[int, Rest], peer: float | None) -> str:
    """The table: of restarts the medians; CPU in thousandths of a processor."""
    lines = [
        f"{tables.machine()}, {RUNS} restart, {REST_S:.0f} s at rest",
        "                     restarted:                               at rest:",
        "consoles  ready s  attached s  held by nobody s   daemon  libvirtd  RSS MiB",
    ]
    for number, restarted in restarts.items():
        ready, attached, nobody = restarted
        daemon, theirs, rss = rests[number]
        lines.append(
            f"{number:8}  {ready:7.2f}  {attached:10.2f}  {nobody:16.2f}"
            f"  {daemon * 1000:7.1f}  {theirs * 1000:8.1f}  {rss / 1024:7.1f}"
        )
    if peer is not None:
        lines.append(f"{max(rests):8}  {'under conserver':<39}{'':9}  {peer * 1000:8.1f}")
    points = [(number, each.daemon * 1000) for number, each in rests.items()]
    of_rss = slope([(number, float(each.rss)) for number, each in rests.items()])
    lines.append(f"each console costs {slope(points) * 1000:.1f} millionths of a processor, and {of_rss:.1f} KiB")
    plot("consoles-cpu", "CPU at rest against consoles", Axes("consoles", "thousandths of a processor"), {
        "virtmuxd": points, "libvirtd": [(number, each.libvirtd * 1000) for number, each in rests.items()],
    })  # fmt: skip
    return "\n".join([*lines, ""])


def targets(restarts: dict[int, Restart], rests: dict[int, Rest], peer: float | None) -> list[Target]:
    """How what was measured stands to them."""
    found = [Target(f"s until {number} are attached", restarts[number].attached, most) for number, most in CASES]
    number, most = max(rests.items())
    found.append(Target(f"thousandths of a processor, {number} at rest", most.daemon * 1000, CPU * 1000))
    found.append(Target(f"KiB, {number} at rest", most.rss, RSS_KIB + RSS_CONSOLE_KIB * number))
    if peer is not None:
        found.append(Target(f"CPU of libvirtd under conserver, {number} at rest", most.libvirtd / peer, 1.0))
    return found


def main() -> None:
    """Measure, print, keep."""
    restarts: dict[int, Restart] = {}
    rests: dict[int, Rest] = {}
    peer = None
    with installed(guest=False) as machine:
        machine.write("/etc/virtmux/virtmuxd.toml", 'attach = "always"\n')
        machine.systemctl("restart", SERVICE)
        for number, _ in CASES:
            start_guests(machine, number)
            until_attached(machine, number)
            taken = [restart(machine, number) for _ in range(RUNS)]
            restarts[number] = Restart(*map(statistics.median, zip(*taken, strict=True)))
            rests[number] = rest(machine)
        try:
            with conserver(machine):
                (peer,) = used_at_rest(machine, libvirtd(machine))
        except NotToBeHadError as error:
            print(f"  not measured: conserver: {error}")
    keep("consoles", report(restarts, rests, peer), targets(restarts, rests, peer))


if __name__ == "__main__":
    main()
