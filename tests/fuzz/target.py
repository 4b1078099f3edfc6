"""What a fuzz target is: something of virtmux that is given bytes which nobody vouches for."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

CORPUS = Path(__file__).with_name("corpus")


class Target(NamedTuple):
    """`run` gives the bytes to what is fuzzed. It returns where that does what it promises, which includes its
    documented errors; whatever else it raises is a bug. `seeds` are inputs of which others are made."""

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]

    def inputs(self) -> list[bytes]:
        """The seeds, and what was kept: each led to code to which no other led, or to a bug."""
        return [*self.seeds(), *(path.read_bytes() for path in sorted((CORPUS / self.name).glob("*")))]


class Cuts:
    """Takes the bytes of an input apart, so that a few of them decide what is done with the others.

    What decides is taken from the end, so that a change there leaves the rest where it is.
    """

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def number(self, most: int) -> int:
        """From 0 to `most`, which is below 65536; 0 where nothing is left."""
        taken, self.rest = self.rest[-2:], self.rest[:-2]
        return int.from_bytes(taken, "little") % (most + 1)

    def pieces(self, most: int) -> Iterator[bytes]:
        """What is left, cut into at most so many pieces."""
        cuts = sorted(self.number(len(self.rest)) for _ in range(self.number(most - 1)))
        whole, start = self.rest, 0
        for cut in cuts:
            yield whole[start:cut]
            start = max(start, cut)
        yield whole[start:]
