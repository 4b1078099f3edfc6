"""A console as it was: a history that is only stored, for clients that read it. Nothing is added to it any more."""

from collections.abc import Callable

from virtmux.messages import ConsoleInfo, State
from virtmux.people import Companion, Role
from virtmux.reasons import ConsoleId, Reason
from virtmux.records import Position, rfc3339
from virtmux.wire import ProtocolError
from virtmuxd.core.archive import Archive
from virtmuxd.core.cursor import Cursor
from virtmuxd.core.place import Place
from virtmuxd.core.roles import NO_WISH, Wish


class PastRecords:
    """The records, all of them in the archive; to a reader as a `virtmuxd.core.sequence.Sequence`."""

    def __init__(
        self,
        handle: int,
        archive: Archive,
        oldest: Position,
        position: Position,
        align: Callable[[Position], Position],
    ) -> None:
        """`oldest` is the position of the first record, `position` that behind the last one. `align` sets the mark
        number of one right where it cannot stand at its offset."""
        self.handle = handle
        self.oldest = self.nearest = oldest
        self.position = position
        self._archive = archive
        self._align = align

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.position.offset

    def align(self, position: Position) -> Position:
        """As `Sequence.align`.

        Raises:
            ValueError: it is ahead of the records; the text says so.
        """
        if position.offset > self.position.offset or position.mark > self.position.mark:
            raise ValueError(f"position {position} is ahead of the records, which end at {self.position}")
        return self._align(position)

    def take(self, cursor: Cursor) -> bytes | None:
        """As `Sequence.take`."""
        stop = self.position.offset, self.position.mark
        if cursor.pages:
            return cursor.turn()
        if cursor.fetching or cursor.point == stop:
            return None
        if cursor.void_to is not None:
            return cursor.skip(self.handle, stop)
        cursor.fetch(self._archive, stop)
        return None

    def park(self, cursor: Cursor) -> None:
        """Nothing comes any more."""

    def too_slow(self, cursor: Cursor) -> str | None:  # noqa: ARG002 - nothing comes, so nobody lags
        """As `Sequence.too_slow`."""
        return None


class PastCompany:
    """Its one client, which can but read; to that as a `virtmuxd.core.company.Company`."""

    def __init__(self, close: Callable[[], None]) -> None:
        """`close` is called when the client has left."""
        self._close = close

    def enter(self, place: Place, at: int, wish: Wish = NO_WISH, *, force: bool = False) -> None:  # noqa: ARG002
        """Nobody else is there, and nothing can be typed."""
        place.role = Role.READ_ONLY

    def leave(self, place: Place, at: int, *, lost: bool = False) -> None:  # noqa: ARG002 - that one alone was there
        """As `Company.leave`."""
        self._close()

    def permit(self, place: Place, *, types: bool, alone: bool) -> None:
        """See `enter`."""

    def expire(self, token: str) -> None:
        """There is none."""

    def owner_but(self, token: str | None) -> None:
        """See `enter`."""

    def others(self, place: Place) -> tuple[list[Companion], int]:  # noqa: ARG002 - nobody else is there
        """See `enter`."""
        return [], 0

    def confirm(self, place: Place) -> None:
        """No input was given."""

    def type(self, place: Place, attachment: int, input_offset: int, data: bytes) -> None:  # noqa: ARG002
        """Refuse it.

        Raises:
            ProtocolError: no attachment has begun.
        """
        raise ProtocolError(f"input for attachment {attachment} of a console that is only stored")


class PastConsole:
    """What a client with a place at it needs of a console (`virtmuxd.core.console.Console`)."""

    why_not: Reason | None = None

    def __init__(self, id_: ConsoleId, records: PastRecords, close: Callable[[], None]) -> None:
        """`close` is called when its client has left: nobody else reads it."""
        self.id = id_
        self.handle = records.handle
        self.sequence = records
        self.company = PastCompany(close)

    def info(self) -> ConsoleInfo:
        """As `Console.info`: there is none any more."""
        return ConsoleInfo(
            console=self.handle,
            id=self.id,
            state=State.ABSENT,
            since=rfc3339(0),
            running=False,
            backend="",
            clients=1,
            attachment=None,
            position=str(self.sequence.position),
            last_output=None,
            last_end=None,
            exclusive=False,
            paused=False,
            policy="never",
            released=None,
            journal="disk",
        )
