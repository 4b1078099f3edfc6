"""What is told a person of a console's past, so that it hides nothing of what the guest said. Pure.

Who comes to a quiet console again and again leaves little else in its history than that: each time the console was let
go, and nobody held it until the next time.
"""

from collections.abc import Sequence
from typing import NamedTuple

from virtmux.reasons import Cause, Reason
from virtmux.records import Break
from virtmux_cli.attach.state import Action, Replayed


class Breaks(NamedTuple):
    """One break of the past or several, the first and the last; the guest said nothing between them."""

    first: Break
    last: Break


class Abridged:
    """Breaks between which nothing was said are told as one. That a console was let go, the break behind it tells."""

    def __init__(self) -> None:
        self._untold: Breaks | None = None
        self._past = True

    def take(self, actions: Sequence[Action], *, caught_up: bool) -> list[Action | Breaks]:
        """What is told of the next actions; `caught_up`: with them the records have come to the present."""
        told: list[Action | Breaks] = []
        for action in actions:
            match action:
                case Replayed(Reason(cause=Cause.CONSOLE_RELEASED)):
                    pass
                case Break() if self._past:
                    self._untold = Breaks(self._untold.first if self._untold else action, action)
                case _:
                    told += [*self._held_back(), action]
        self._past = not caught_up
        if caught_up:
            told += self._held_back()
        return told

    def _held_back(self) -> list[Breaks]:
        untold, self._untold = self._untold, None
        return [untold] if untold else []
