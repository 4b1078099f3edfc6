"""Input that waits at one console, in the order in which it came. Pure.

What becomes of one writer's costs no more the more others have some: a thousand may, with a window full each.
"""

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

_W = TypeVar("_W", bound=Hashable)


@dataclass(slots=True)
class _Piece(Generic[_W]):
    """Without data it was dropped, and is passed over."""

    writer: _W
    data: bytes


class InputQueue(Generic[_W]):
    """See the module. It is true as long as anything waits; iterating gives whose that is."""

    def __init__(self, piece: int) -> None:
        """Input of a writer that follows its last is one piece with that, up to so many bytes: else a window full of
        keys is as many pieces."""
        self._size = piece
        self._pieces: deque[_Piece[_W]] = deque()
        self._of: dict[_W, deque[_Piece[_W]]] = {}
        self._dropped = 0

    def __bool__(self) -> bool:
        return bool(self._of)

    def __iter__(self) -> Iterator[_W]:
        return iter(tuple(self._of))

    def waiting(self, writer: _W) -> int:
        """How many bytes wait of this writer."""
        return sum(len(piece.data) for piece in self._of.get(writer, ()))

    def add(self, writer: _W, data: bytes) -> None:
        """Input comes, some bytes of it."""
        last = self._pieces[-1] if self._pieces else None
        if last is not None and last.writer is writer and last.data and len(last.data) + len(data) <= self._size:
            last.data += data
            return
        piece = _Piece(writer, data)
        self._pieces.append(piece)
        self._of.setdefault(writer, deque()).append(piece)

    def take(self, room: int) -> tuple[_W, bytes]:
        """The next of what waits, at most `room` bytes of one writer."""
        while not (piece := self._pieces[0]).data:
            self._pieces.popleft()
            self._dropped -= 1
        taken, piece.data = piece.data[:room], piece.data[room:]
        if not piece.data:
            self._pieces.popleft()
            pieces = self._of[piece.writer]
            pieces.popleft()
            if not pieces:
                del self._of[piece.writer]
        return piece.writer, taken

    def drop(self, writer: _W) -> int:
        """Let go of all that waits of this writer; gives how many bytes that was."""
        size, pieces = self.waiting(writer), self._of.pop(writer, deque())
        for piece in pieces:
            piece.data = b""
        self._dropped += len(pieces)
        if self._dropped > len(self._pieces) // 2:
            self._pieces = deque(piece for piece in self._pieces if piece.data)
            self._dropped = 0
        return size
