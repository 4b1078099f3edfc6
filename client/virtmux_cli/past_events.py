"""The marks of all consoles that are stored, as events: what `virtmux events --since` shows first."""

from virtmux.client import Client
from virtmux.errors import Refused
from virtmux.messages import Event
from virtmux.records import rfc3339


async def past_events(mux: Client, since: int) -> list[Event]:
    """The marks since a time (ns), in the order in which they were made.

    Raises:
        VirtmuxError: the daemon cannot be asked.
    """
    try:
        told = await mux.histories()
    except Refused:  # nothing is stored at all
        return []
    consoles = {(info.console.hypervisor, info.console.uuid, info.console.device): info.console for info in told}
    events: list[Event] = []
    for console in consoles.values():
        stored = await mux.marks(console.uuid, console.device, uri=console.uri or None, since=rfc3339(since))
        events += [each.event for each in stored]
    return sorted(events, key=lambda event: event.at)
