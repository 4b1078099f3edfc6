"""What the log says of consoles, in every record about one: the facts by which they are looked for."""

from virtmux.reasons import ConsoleId


def of_console(console: ConsoleId) -> dict[str, object]:
    """Which console it is."""
    return {"uri": console.uri, "domain": console.domain, "uuid": console.uuid, "device": console.device}
