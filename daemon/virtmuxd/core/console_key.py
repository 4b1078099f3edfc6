"""What a console is, whatever it is called; and what it is called, which may change."""

from dataclasses import dataclass
from typing import NamedTuple

from virtmuxd.core.hypervisors import is_exclusive


class ConsoleKey(NamedTuple):
    """The identity of a console: hypervisor (driver, instance and host UUID), domain UUID, device alias."""

    hypervisor: str
    uuid: str
    device: str

    @property
    def exclusive(self) -> bool:
        """Whether libvirt lets one client alone have the console."""
        return is_exclusive(self.hypervisor)


@dataclass(slots=True)
class Naming:
    """Ways to find a console that may change, and what its XML says. `index` is its order within the domain."""

    uri: str
    domain: str
    backend: str
    index: int
