"""What all clients of the daemon have in common."""

from dataclasses import dataclass

from virtmux.messages import ServerHello
from virtmuxd.core.access import AccessRules
from virtmuxd.core.registry import Registry
from virtmuxd.service.clients import Clients
from virtmuxd.service.library import Library
from virtmuxd.service.measurements import Measurements
from virtmuxd.service.proofs import Proofs


@dataclass(slots=True)
class Hall:
    """The consoles, what is stored of them, who is connected, how everybody is greeted, who may do what, and what is
    measured; the `access` rules are replaced by a reload."""

    registry: Registry
    library: Library
    clients: Clients
    greeting: ServerHello
    access: AccessRules
    proofs: Proofs
    measurements: Measurements
