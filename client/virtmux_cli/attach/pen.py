"""With what the terminal writes: colours and attributes (SGR) and the character sets. Pure."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

#: The code that ends each attribute, by those that begin it (ECMA-48, ITU-T T.416, xterm's ctlseqs).
_ENDS = {
    **dict.fromkeys((1, 2), 22),
    3: 23,
    **dict.fromkeys((4, 21), 24),
    **dict.fromkeys((5, 6), 25),
    7: 27,
    8: 28,
    9: 29,
    **dict.fromkeys(range(11, 21), 10),
    26: 50,
    **dict.fromkeys((*range(30, 39), *range(90, 98)), 39),
    **dict.fromkeys((*range(40, 49), *range(100, 108)), 49),
    **dict.fromkeys((51, 52), 54),
    53: 55,
    58: 59,
    **dict.fromkeys((73, 74), 75),
}
_EXTENDED = {b"38", b"48", b"58"}
_ASCII = b"B"
#: A guest that colours its output does so with a few sequences, again and again.
_REMEMBERED = 512


class Pen(NamedTuple):
    """`attributes` are those that are on, by the code that ends each; `sets` the final bytes of the designations of G0
    and G1; `shift` is what has put another set than G0 to use, nothing where that is in use."""

    attributes: tuple[tuple[int, bytes], ...] = ()
    sets: tuple[bytes, bytes] = (_ASCII, _ASCII)
    shift: bytes = b""

    @lru_cache(_REMEMBERED)  # noqa: B019 - a pen is a value
    def with_attributes(self, parameters: bytes) -> "Pen":
        """After SGR with these parameters."""
        on = dict(self.attributes)
        for code, text in _attributes(parameters):
            if code == 0:
                on.clear()
            elif code in _ENDS and not text.endswith(b":0"):
                on[_ENDS[code]] = text
            else:
                on.pop(_ENDS.get(code, code), None)
        return self._replace(attributes=tuple(on.items()))

    def with_set(self, which: int, final: bytes) -> "Pen":
        """After the designation of a set as G0 (0) or G1 (1)."""
        return self._replace(sets=(final, self.sets[1]) if which == 0 else (self.sets[0], final))

    def and_also(self, other: "Pen") -> "Pen":
        """Whatever is not plain in either."""
        g0, g1 = (mine if mine != _ASCII else others for mine, others in zip(self.sets, other.sets, strict=True))
        return Pen(self.attributes or other.attributes, (g0, g1), self.shift or other.shift)

    def undo(self) -> bytes:
        """From this pen to the plain one."""
        undone = b"\x1b[0m" if self.attributes else b""
        undone += b"\x0f" if self.shift else b""
        undone += b"\x1b(B" if self.sets[0] != _ASCII else b""
        return undone + (b"\x1b)B" if self.sets[1] != _ASCII else b"")

    def whole(self) -> bytes:
        """From any pen to this one."""
        return b"\x1b[0m\x0f\x1b(B\x1b)B" + self.redo()

    def redo(self) -> bytes:
        """From the plain pen to this one."""
        done = b"\x1b[" + b";".join(text for _, text in self.attributes) + b"m" if self.attributes else b""
        done += b"\x1b(" + self.sets[0] if self.sets[0] != _ASCII else b""
        done += b"\x1b)" + self.sets[1] if self.sets[1] != _ASCII else b""
        return done + self.shift


PLAIN = Pen()
"""That of a terminal that was reset."""


def _attributes(parameters: bytes) -> Iterator[tuple[int, bytes]]:
    """The code of each attribute, and how it is written with what belongs to it."""
    parts = parameters.split(b";")
    while parts:
        part = parts.pop(0)
        taken = 0
        if part in _EXTENDED and parts:
            taken = {b"5": 2, b"2": 4}.get(parts[0], 0)
        text = b";".join([part, *parts[:taken]])
        del parts[:taken]
        code = part.split(b":")[0]
        yield int(code) if code.isdigit() else 0, text
