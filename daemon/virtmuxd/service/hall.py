"""What all clients of the daemon have in common."""

from dataclasses import dataclass

from virtmux.messages import ServerHello
from virtmuxd.core.registry import Registry
from virtmuxd.service.clients import Clients
from virtmuxd.service.library import Library


@dataclass(frozen=True, slots=True)
class Hall:
    """The consoles, what is stored of them, who is connected, and how everybody is greeted."""

    registry: Registry
    library: Library
    clients: Clients
    greeting: ServerHello
