"""Where a console's records lie: what a sequence, and its console after a restart of the daemon, need of such a store;
and who writes them down.

In the daemon that is the ring file (`virtmuxd.service.ring`); what it holds no more is in an `Archive`. The one who
writes is `virtmuxd.service.journal.recorder`.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from msgspec import Struct

from virtmux.records import Mark
from virtmuxd.core.console_key import ConsoleKey

#: Marks held for readers. Older ones are read from the archive; where that has none, readers are told the range.
MAX_MARKS = 1024


class StoredMark(Struct):
    """A mark as the store keeps it. While `reserved`, `record` is what was known at the moment of failure, and readers
    hold in front of it until the mark is completed."""

    number: int
    offset: int
    record: Mark
    reserved: bool = False


class Boot(NamedTuple):
    """Where an incarnation begins in the records: at the mark `attached` that was its first."""

    incarnation: int = 0
    offset: int = 0
    mark: int = 1


class Store(Protocol):
    """Where a sequence lies. `start` to `end` are the offsets of the bytes it still holds.

    It also keeps what a console needs to go on after a restart of the daemon: the newest incarnation it knew (number
    and running id), until when (ns) it was surely held, and until when it is released: 0, -1, None and None in a new
    one; and where the newest incarnation of which there are records begins.
    """

    @property
    def history(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def next_mark(self) -> int: ...
    @property
    def incarnation(self) -> tuple[int, int]: ...
    @property
    def held_until(self) -> int | None: ...
    @property
    def released_until(self) -> int | None: ...
    @property
    def boot(self) -> Boot: ...

    def append(self, data: bytes, at: int) -> None:
        """Take output that was received `at`; it must be safe from a crash of the daemon when this returns."""

    def read(self, offset: int, size: int) -> bytes:
        """Between 1 and `size` held bytes from `offset`, which lies in [start, end)."""

    def found_marks(self) -> list[StoredMark]:
        """The marks that were found when the store was opened, in order of their numbers and without holes."""

    def put_mark(self, mark: StoredMark) -> None:
        """Store a mark, or its completion; safe when this returns."""

    def hold(self, at: int) -> None:
        """Store that the console is held from now on."""

    def let_go(self, at: int) -> None:
        """Store that it is held no more."""

    def remember(self, number: int, running_id: int) -> None:
        """Store the newest incarnation."""

    def release(self, until: int | None) -> None:
        """Store until when the console is released."""

    def begin_boot(self, boot: Boot) -> None:
        """Store where the newest incarnation begins."""

    def forget(self) -> None:
        """Hold none of the bytes and marks that are there; no address is used again."""

    def close(self, at: int) -> None:
        """Record a clean stop and let go of the store."""


class Recorder(Protocol):
    """Who writes the console's records down."""

    @property
    def state(self) -> str:
        """`disk`, or `failing` where that does not take them now."""

    @property
    def lag(self) -> int:
        """How many bytes are not written yet, as far as is known."""

    def rename(self, domain: str, at: int) -> None:
        """The domain has another name."""

    def move(self, key: ConsoleKey, at: int) -> None:
        """The console went to another hypervisor."""

    def close(self, at: int) -> None:
        """The console's last records are there, and its store is about to be let go of."""

    def forget(self, then: Callable[[], None]) -> None:
        """Delete what was written; call when that is done."""
