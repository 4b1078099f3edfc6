"""A plain model of a console: what it printed, what happened to it, and what each boot of its guest was given."""

from collections.abc import Iterable
from dataclasses import dataclass, field

_PERIOD = 251
_PATTERN = bytes(at * 7 % _PERIOD for at in range(_PERIOD))


@dataclass
class History:
    """One history of a console, as it happened.

    `marks` are the kind and offset of each mark, from number 1; `boots` says which start of the guest each incarnation
    is, from 1. `nowhere` is 1 for each byte that was at some time neither in the ring nor in the journal: no others may
    be missing to a reader.
    """

    output: bytearray = field(default_factory=bytearray)
    marks: list[tuple[str, int]] = field(default_factory=list)
    boots: list[int] = field(default_factory=list)
    nowhere: bytearray = field(default_factory=bytearray)

    def print(self, size: int) -> bytes:
        """The guest prints so many bytes, each other than those around it."""
        begin = len(self.output) % _PERIOD
        data = (_PATTERN * (size // _PERIOD + 2))[begin : begin + size]
        self.output += data
        return data

    def mark(self, kind: str) -> None:
        """Something happened that is to be told."""
        self.marks.append((kind, len(self.output)))

    def attach(self, start: int) -> None:
        """The console of the guest that was started as number `start` is held."""
        if self.boots[-1:] != [start]:
            self.boots.append(start)
        self.mark("attached")

    def observe(self, ring_from: int, journal: Iterable[tuple[int, bytes]]) -> None:
        """The ring holds what is from `ring_from` on, and the journal these bytes at these offsets."""
        self.nowhere += bytes(len(self.output) - len(self.nowhere))
        end = 0
        for offset, data in [*sorted(journal), (ring_from, b"")]:
            missing = min(offset, ring_from) - end
            if missing > 0:
                self.nowhere[end : end + missing] = b"\1" * missing
            end = max(end, offset + len(data))
