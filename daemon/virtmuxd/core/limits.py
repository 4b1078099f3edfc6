"""How much clients may have, how long they may take, and where the limits in force are found. Pure."""

from typing import Annotated

from msgspec import Meta, Struct

from virtmux.messages import MAX_SECONDS
from virtmux.wire import MAX_MESSAGE

_Count = Annotated[int, Meta(gt=0, lt=1 << 31)]
_Bytes = Annotated[int, Meta(ge=0, lt=1 << 40)]


class LimitRules(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """The limits, as they are configured. 0 is no limit, where that can be said."""

    clients: _Count = 2048
    """Clients in all; root's and those of the daemon's own user are not counted."""
    clients_per_user: _Count = 1024
    """Clients of one user, likewise."""
    consoles_per_client: _Count = 1024
    """Consoles at which one client has a place."""
    handshake: Annotated[float, Meta(gt=0, le=MAX_SECONDS)] = 10.0
    """How long a client may take to greet."""
    idle: Annotated[float, Meta(ge=0, le=MAX_SECONDS)] = 0.0
    """After how long without a byte from or to it a client is sent away."""
    input_rate: _Bytes = 0
    """Bytes that are read of a client in a second."""
    input_window: Annotated[int, Meta(ge=16384, le=65536)] = 65536
    """Input that a client may have on its way to one console."""
    message_size: Annotated[int, Meta(ge=4096, le=MAX_MESSAGE)] = MAX_MESSAGE
    """The largest message that a client may send."""
    delivery_rate: _Bytes = 0
    """Output of a console that its clients are given live in a second; what is beyond is a gap to them."""


class LimitsInForce:
    """`rules` is replaced at a reload: it is read where it is needed, and kept by nobody."""

    __slots__ = ("rules",)

    def __init__(self, rules: LimitRules) -> None:
        self.rules = rules
