"""What `virtmux list` and `virtmux status` tell of consoles and hypervisors: rows for a table, and JSON Lines. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import asdict

from virtmux.messages import ConsoleInfo, DaemonHello, HypervisorInfo, State, Statistics
from virtmux.sanitize import printable
from virtmux_cli.globs import fit
from virtmux_cli.text import console_name, json_line, local_time, reason_text

#: The columns of `list`.
COLUMNS = ("CONSOLE", "STATE", "SINCE", "CLIENTS", "LAST OUTPUT", "LAST END")


class Host(NamedTuple):
    """What the daemon of a host said. `name` is None where that is this host, `statistics` where it was not asked for
    them or is too old to tell."""

    name: str | None
    greeting: DaemonHello
    hypervisors: list[HypervisorInfo]
    consoles: list[ConsoleInfo]
    address: str
    statistics: Statistics | None = None


def matching(consoles: Sequence[ConsoleInfo], patterns: Sequence[str]) -> list[ConsoleInfo]:
    """The consoles that one of the globs fits; without globs all."""
    return [info for info in consoles if fit(patterns, info.id.domain, info.id.device, info.id.uuid)]


def list_rows(hosts: Sequence[Host]) -> list[list[str]]:
    """The consoles below their heading; with their hosts and hypervisors where there is more than one of them."""
    rows = [["HOST", *COLUMNS, "HYPERVISOR"]]
    for host in hosts:
        infos = sorted(host.consoles, key=lambda info: (info.id.uri, info.id.domain, info.id.device))
        rows += [[printable(host.name or "-"), *_cells(info), printable(info.id.uri)] for info in infos]
    first = 0 if len(hosts) > 1 else 1
    last = None if any(len({info.id.hypervisor for info in host.consoles}) > 1 for host in hosts) else -1
    return [row[first:last] for row in rows]


def _cells(info: ConsoleInfo) -> list[str]:
    end = info.last_end
    return [
        console_name(info.id),
        ", ".join([info.state.value, *_adjectives(info)]),
        local_time(info.since),
        str(info.clients),
        local_time(info.last_output),
        f"{end.cause.value} {local_time(end.at)}" if end else "-",
    ]


def _adjectives(info: ConsoleInfo) -> list[str]:
    """What else there is to say of a console's state."""
    words = ["paused"] if info.paused else []
    if info.journal == "failing":
        words.append("journal failing")
    match info.released:
        case None:
            pass
        case "until-reclaimed":
            words.append("released")
        case "while-in-use":
            words.append("released while in use")
        case until:
            words.append(f"released until {local_time(until)}")
    return words if info.exclusive else [*words, "shared"]


def away_lines(hosts: Sequence[Host]) -> list[str]:
    """A line for each hypervisor that is not connected."""
    several = len(hosts) > 1
    return [
        (f"{printable(host.name)}: " if several and host.name else "") + away_line(info)
        for host in hosts
        for info in host.hypervisors
        if not info.connected
    ]


def away_line(info: HypervisorInfo) -> str:
    """Which hypervisor is not connected, and why."""
    return f"{printable(info.uri)}: {reason_text(info.reason) if info.reason else 'not connected yet'}"


def list_json(host: Host) -> bytes:
    """A line for each hypervisor, then one for each console; the field `type`, the first, tells which it is."""
    at = _at(host)
    lines = [{"type": "hypervisor", **at, **asdict(info)} for info in host.hypervisors]
    lines += [{"type": "console", **at, **asdict(info)} for info in host.consoles]
    return b"".join(map(json_line, lines))


def _at(host: Host) -> dict[str, str]:
    return {"host": host.name} if host.name else {}


def status_json(host: Host) -> bytes:
    """A line for the daemon, then one for each hypervisor."""
    daemon = {
        "type": "daemon",
        **_at(host),
        "socket": host.address,
        "software": host.greeting.software,
        "protocol": host.greeting.protocol,
        "features": host.greeting.features,
        "limits": host.greeting.limits,
        "consoles": _states(host.consoles),
        "clients": sum(info.clients for info in host.consoles),
        "statistics": host.statistics,
    }
    return json_line(daemon) + list_json(host._replace(consoles=[]))


def _states(consoles: Sequence[ConsoleInfo]) -> dict[str, int]:
    """How many consoles there are in each state."""
    return {state.value: sum(1 for info in consoles if info.state is state) for state in State}


def status_rows(host: Host) -> list[list[str]]:
    """What the daemon is: a word and its meaning in each row."""
    states = [f"{count} {state}" for state, count in _states(host.consoles).items() if count]
    return [
        ["daemon", printable(host.greeting.software)],
        ["socket" if host.name is None else "host", printable(host.address)],
        ["protocol", str(host.greeting.protocol)],
        ["features", printable(", ".join(host.greeting.features) or "-")],
        ["consoles", f"{len(host.consoles)}" + (f" ({', '.join(states)})" if states else "")],
        ["clients", f"{sum(info.clients for info in host.consoles)} at these consoles"],
        *(statistics_rows(host.statistics) if host.statistics is not None else []),
    ]


def statistics_rows(measured: Statistics) -> list[list[str]]:
    """What the daemon counts and measures, in the same way."""
    tally, threads, process = measured.tally, measured.threads, measured.process
    since, memory = local_time(measured.since), f"{process.memory >> 20} MiB of memory"
    used = f"{process.cpu_seconds:.1f} s of CPU, {memory}, {process.open_files} of {process.max_files} files"
    unheld = f"; {measured.unheld} not held that should be" if measured.unheld else ""
    failing = f"; {measured.journal_failing} consoles failing" if measured.journal_failing else ""
    return [
        ["connections", f"{measured.clients}, {sum(measured.client_ends.values())} ended"],
        ["attachments", f"{tally.attachments}; {tally.breaks} breaks, {tally.break_seconds:.1f} s together{unheld}"],
        [
            "output",
            f"{tally.output} bytes; {tally.delivered} to clients, {tally.gap_bytes} missed in {tally.gaps} gaps",
        ],
        ["input", f"{tally.accepted} bytes; {tally.rejected} rejected, {tally.unknown} unknown"],
        ["lag", f"{measured.lag} bytes at most; {tally.evictions} places taken away"],
        ["journal", f"{measured.journal_lag} bytes behind at most{failing}"],
        ["threads", f"{threads.busy} busy of {threads.quota}, {threads.stuck} stuck"],
        ["event loop", f"{measured.loop_lag * 1000:.0f} ms late at most, in the last minute"],
        ["process", f"since {since}; {used}"],
    ]


def hypervisor_rows(hypervisors: Sequence[HypervisorInfo]) -> list[list[str]]:
    """The hypervisors below their heading: what was counted there since the daemon started."""
    rows = [["HYPERVISOR", "STATE", "SINCE", "CONSOLES", "ENDS", "CUTS", "STUCK CALLS", "JOURNAL FAILURES", "LOST"]]
    for info in hypervisors:
        counters = info.counters
        counts = (
            info.consoles,
            sum(counters.ends.values()),
            counters.cuts,
            counters.stuck_calls,
            counters.journal_failures,
            counters.journal_lost,
        )
        state = "connected" if info.connected else "not connected"
        rows.append([printable(info.uri), state, local_time(info.since), *map(str, counts)])
    return rows
