"""The hypervisor side of a console, as that sees it: who holds it, and where it goes with a guest that is migrated."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from virtmuxd.core.console_key import ConsoleKey, Naming
from virtmuxd.core.effects import Command


class Holder(Protocol):
    """The hypervisor side of a console."""

    def carry_out(self, command: Command) -> None:
        """Begin to carry out a command; what comes of it is told by an event."""

    def send_input(self) -> None:
        """Input waits."""

    def retire(self) -> None:
        """The console has vanished, and nobody has a place at it."""

    def depart(self) -> None:
        """The console went to another hypervisor, with its guest."""

    def report_bug(self) -> None:
        """Called while an exception is handled: log it, and end what it may have left half done."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a console goes with its migrating guest. `settle` is called when it goes there."""

    key: ConsoleKey
    naming: Naming
    holder: Holder
    settle: Callable[[], None]
