"""What parts of the log have in common: the name of the audit, and the facts by which consoles are looked for."""

from virtmux.reasons import ConsoleId

#: The logger of what clients do, which is written whatever the level is.
AUDIT = "virtmuxd.audit"


def of_console(console: ConsoleId) -> dict[str, object]:
    """Which console it is."""
    return {"uri": console.uri, "domain": console.domain, "uuid": console.uuid, "device": console.device}
