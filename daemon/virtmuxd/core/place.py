"""A client's place at one console, as the console sees it."""

from collections.abc import Callable

from virtmux.people import Person
from virtmux.reasons import Reason
from virtmuxd.core.cursor import Cursor
from virtmuxd.core.roles import Seat
from virtmuxd.core.writer import Writer


class Place(Seat):
    """A client's place at one console: where it reads, and whether and what it types. The console is held for it, if
    it `holds`.

    `ended` is called where the place is taken away by somebody else than its client.
    """

    def __init__(
        self,
        cursor: Cursor,
        writer: Writer,
        ended: Callable[[Reason], None],
        *,
        who: Person,
        holds: bool = True,
        since: int = 0,
    ) -> None:
        """`writer` has a refusal where the client may only watch. `since`: a time (ns)."""
        super().__init__(who, read_only=writer.refusal is not None, since=since)
        self.cursor = cursor
        self.writer = writer
        self.ended = ended
        self.holds = holds

    def renamed(self) -> None:
        """The domain has another name, so that other rules may be for it."""
