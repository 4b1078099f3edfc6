"""Who is connected, for a person and as JSON Lines. Pure, but for the local time zone."""

from collections.abc import Sequence

import msgspec

from virtmux.people import ClientInfo
from virtmux.reasons import ConsoleId
from virtmux.sanitize import printable
from virtmux_cli.text import console_name, json_line, local_time, table


def is_at(client: ClientInfo, name: str) -> bool:
    """Whether a client has a place at a console that is meant by CONSOLE."""
    return any(is_meant(place.console, name) for place in client.places)


def is_meant(console: ConsoleId, name: str) -> bool:
    """Whether CONSOLE, which is DOMAIN[:DEVICE], means this one; DOMAIN is a name or UUID."""
    domain, _, device = name.rpartition(":")
    names = console.domain, console.uuid
    return name in names or (domain in names and device == console.device)


def who_table(clients: Sequence[ClientInfo]) -> str:
    """One row for each client: its number, who it is, since when and how it came, and where it is."""
    rows = [["CLIENT", "USER", "PID", "SINCE", "SOCKET", "SOFTWARE", "CONSOLES"]]
    for client in clients:
        who = client.who
        rows.append(
            [
                str(who.client),
                printable(who.user),
                str(who.pid or "-"),
                local_time(client.since),
                "read-only" if client.read_only else "read-write",
                printable(client.software) or "-",
                _consoles(client),
            ]
        )
    return table(rows)


def _consoles(client: ClientInfo) -> str:
    places = [f"{console_name(place.console)} ({place.role.value})" for place in client.places]
    places += [f"and {client.more} more"] if client.more else []
    return ", ".join(places) or "-"


def who_json(clients: Sequence[ClientInfo]) -> bytes:
    """One line for each client."""
    return b"".join(json_line({"type": "client", **msgspec.structs.asdict(client)}) for client in clients)
