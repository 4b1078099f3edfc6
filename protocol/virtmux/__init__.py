"""virtmux: the client library of the libvirt console multiplexer. Imports neither the daemon nor libvirt.

The names below are loaded when they are first used, so that `import virtmux.wire` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from virtmux.addresses import SshHost
    from virtmux.client import Client, Inventory, connect
    from virtmux.console import Console
    from virtmux.domains import DeviceInfo, DomainInfo
    from virtmux.errors import (
        ConnectionLost,
        ConsoleEnded,
        InputRejected,
        NotAttached,
        Refused,
        TimedOut,
        TooSlow,
        VirtmuxError,
    )
    from virtmux.following import Disconnected, Happening, Progress, Reconnected, Record, Resumed
    from virtmux.ledger import InputState
    from virtmux.messages import (
        Company,
        ConsoleInfo,
        Counters,
        Event,
        Gap,
        GuestAction,
        HistoryInfo,
        HypervisorInfo,
        Lag,
        MarkMessage,
        Place,
        PlaceEnded,
        ProcessInfo,
        RoleChanged,
        State,
        Statistics,
        Stored,
        Tally,
        Threads,
        Time,
    )
    from virtmux.people import ClientInfo, Companion, Person, PlaceInfo, Role
    from virtmux.reading import Match
    from virtmux.reasons import CAUSES, Cause, ConsoleId, LibvirtEvent, Phase, Reason, Retry, SavedError
    from virtmux.records import Attached, Break, Ended, Mark, Note, Position
    from virtmux.wire import Output

__version__ = "0.1.0"

_NAMES = {
    "addresses": ("SshHost",),
    "client": ("Client", "Inventory", "connect"),
    "console": ("Console",),
    "domains": ("DeviceInfo", "DomainInfo"),
    "errors": (
        "ConnectionLost",
        "ConsoleEnded",
        "InputRejected",
        "NotAttached",
        "Refused",
        "TimedOut",
        "TooSlow",
        "VirtmuxError",
    ),
    "following": ("Disconnected", "Happening", "Progress", "Reconnected", "Record", "Resumed"),
    "ledger": ("InputState",),
    "messages": (
        "Company",
        "ConsoleInfo",
        "Counters",
        "Event",
        "Gap",
        "GuestAction",
        "HistoryInfo",
        "HypervisorInfo",
        "Lag",
        "MarkMessage",
        "Place",
        "PlaceEnded",
        "ProcessInfo",
        "RoleChanged",
        "State",
        "Statistics",
        "Stored",
        "Tally",
        "Threads",
        "Time",
    ),
    "people": ("ClientInfo", "Companion", "Person", "PlaceInfo", "Role"),
    "reading": ("Match",),
    "reasons": ("CAUSES", "Cause", "ConsoleId", "LibvirtEvent", "Phase", "Reason", "Retry", "SavedError"),
    "records": ("Attached", "Break", "Ended", "Mark", "Note", "Position"),
    "wire": ("Output",),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "CAUSES",
    "Attached",
    "Break",
    "Cause",
    "Client",
    "ClientInfo",
    "Companion",
    "Company",
    "ConnectionLost",
    "Console",
    "ConsoleEnded",
    "ConsoleId",
    "ConsoleInfo",
    "Counters",
    "DeviceInfo",
    "Disconnected",
    "DomainInfo",
    "Ended",
    "Event",
    "Gap",
    "GuestAction",
    "Happening",
    "HistoryInfo",
    "HypervisorInfo",
    "InputRejected",
    "InputState",
    "Inventory",
    "Lag",
    "LibvirtEvent",
    "Mark",
    "MarkMessage",
    "Match",
    "NotAttached",
    "Note",
    "Output",
    "Person",
    "Phase",
    "Place",
    "PlaceEnded",
    "PlaceInfo",
    "Position",
    "ProcessInfo",
    "Progress",
    "Reason",
    "Reconnected",
    "Record",
    "Refused",
    "Resumed",
    "Retry",
    "Role",
    "RoleChanged",
    "SavedError",
    "SshHost",
    "State",
    "Statistics",
    "Stored",
    "Tally",
    "Threads",
    "Time",
    "TimedOut",
    "TooSlow",
    "VirtmuxError",
    "__version__",
    "connect",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'virtmux' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"virtmux.{_MODULES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
