"""What all clients of the daemon have in common."""

import logging
from dataclasses import dataclass, field

from msgspec.structs import replace

from virtmux import messages
from virtmux.messages import DaemonHello
from virtmuxd.core.access import AccessRules
from virtmuxd.core.door import Door
from virtmuxd.core.limits import LimitRules, LimitsInForce
from virtmuxd.core.registry import Registry
from virtmuxd.service.clients import Clients
from virtmuxd.service.descriptors import Descriptors
from virtmuxd.service.idle import IdleWatch
from virtmuxd.service.library import Library
from virtmuxd.service.measurements import Measurements
from virtmuxd.service.proofs import Proofs

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Hall:
    """The consoles, what is stored of them, who is connected, what the daemon is, who may do what, what is measured,
    the limits for everybody, and what keeps clients out or sends them away; `follow` lets a reload replace the rules.
    """

    registry: Registry
    library: Library
    clients: Clients
    hello: DaemonHello
    access: AccessRules
    proofs: Proofs
    measurements: Measurements
    limits: LimitsInForce
    door: Door
    descriptors: Descriptors = field(default_factory=Descriptors)
    idle: IdleWatch = field(init=False)

    def __post_init__(self) -> None:
        self.idle = IdleWatch(self.clients, self.limits)
        self.registry.limit_delivery(self.limits.rules.delivery_rate)

    def follow(self, access: AccessRules, rules: LimitRules, *, per_console: bool) -> None:
        """Let other rules be in force, for access first: what they take away is gone at once. `per_console`: as
        `Measurements`."""
        are_others = access.fingerprint != self.access.fingerprint
        self.access = access
        self.clients.review()
        for console in self.registry.all() if are_others else ():
            console.company.refuse_those_who_left()
        try:
            self.proofs.follow(access.fingerprint)
        except OSError as error:
            _log.error("the key of proofs cannot be kept", extra={"error": str(error)})
        self.measurements.per_console = per_console
        self.limits.rules = rules
        self.registry.limit_delivery(rules.delivery_rate)
        self.idle.look()

    def greeting(self) -> DaemonHello:
        """How who comes now is greeted: the limits that are announced stay that client's."""
        rules = self.limits.rules
        return replace(self.hello, limits=messages.Limits(message=rules.message_size, input_window=rules.input_window))
