"""The seam for errands: what clients ask of domains beside their consoles.

The service side asks, the hypervisor side answers: by a callback, on the loop, once. What could not be done is a value.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from virtmux.domains import DomainInfo
from virtmux.messages import Guest
from virtmux.reasons import Cause, SavedError, sentence


class NotDone(NamedTuple):
    """Why something was not done: the cause, what libvirt said, and what else there is to say."""

    cause: Cause
    error: SavedError | None = None
    detail: str = ""

    def text(self, domain: str) -> str:
        """A sentence for a person, about this domain."""
        libvirt = f"libvirt: {self.error.message}" if self.error is not None else ""
        return sentence(self.cause, detail=": ".join(filter(None, (libvirt, self.detail))), domain=domain)


class Errands(Protocol):
    """Done at one hypervisor, while that is connected. How much may be under way is bounded."""

    def act(self, uuid: str, asked: Guest, then: Callable[[NotDone | None], None]) -> None:
        """Do to a domain what is asked; tell why it was not done, or None."""

    def look(self, domain: str, then: Callable[[DomainInfo | NotDone | None], None]) -> None:
        """Look at the domain of this name, UUID or running id, in this order; None where there is none."""


def meant(domain: str, found: Iterable[DomainInfo]) -> list[DomainInfo]:
    """Which of those that several hypervisors found are meant: by name, else by UUID, else by running id."""
    found = list(found)
    by_name = [info for info in found if info.domain == domain]
    by_uuid = [info for info in found if info.uuid == domain.lower()]
    return by_name or by_uuid or found
