"""virtmux: the client library of the libvirt console multiplexer. Imports neither the daemon nor libvirt.

The names below are loaded when they are first used, so that `import virtmux.wire` stays light. Where things are:

client          the daemon, to an application: what it is asked, and places at consoles; sync is its blocking twin
console         a place at a console, to an application: its records, and its input
following       what that gives, with records, messages, people and domains; errors and reasons say what failed or ended

connection      the connection to a daemon, made again where it is lost; event_stream is how events come over it
link            one socket of it: questions and their answers, places and their records
console_place   a place as the connection has it; inbox holds what is not taken yet, input and ledger what was typed
reading         how records are taken: as bytes, or up to what was expected of them (matching)
addresses       where a daemon may be (sockets); dialing opens a stream to it (unixsocket, ssh), backoff when again
asking          a question or two without an event loop; loop_thread is a loop for those who block

session         both ends of the protocol: frames (wire) with messages in them, and features
replay          where a reader wants to begin, and replay_cut where that may be
escapes         what a guest's output consists of; sanitize makes harmless text of it, lines counts back in it
journal         the daemon's log files, and how they are read
reason_now      a Reason as of now, where one is made
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
