"""What a side may know beyond the first protocol, by the names in its `hello` (SPEC section 3). Pure."""

from enum import StrEnum


class Feature(StrEnum):
    """The features of this version."""

    ROLES = "roles"
    """Exclusive places, and who else is there: in `attach`, `place` and `input-status`; `role` and `company`."""
    WHO = "who"
    """`who` and `kick`."""
    FORCE = "force"
    """`attach.force`."""
    GUEST = "guest"
    """`guest`: start, resume, keys, NMI."""
    DOMAINS = "domains"
    """`domains`: what libvirt says of a domain."""
    ACCESS = "access"
    """What a client has no right to read is withheld, and that said: in `attach` and `place`."""
    STATISTICS = "statistics"
    """`status` and `openmetrics`: what is counted and measured."""
