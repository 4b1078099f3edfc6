"""A client's place at a console, as the socket sees it: what was asked for, where it starts, and how it is answered."""

from collections.abc import Callable

from virtmux import messages
from virtmux.reasons import Reason
from virtmux.records import Position
from virtmux.replay import From, Replay
from virtmuxd.core.console import Console, Place
from virtmuxd.core.inputs import Writer
from virtmuxd.core.past import PastConsole, PastRecords
from virtmuxd.core.start import Start, find_start
from virtmuxd.service.outgoing import Feed


class ClientPlace(Place):
    """A place that a client has asked for. It may be `answered` once it is known where it starts, and, where it holds
    the console, whether that can be had (`decided`)."""

    def __init__(
        self,
        request: messages.Attach,
        console: Console | PastConsole,
        feed: Feed,
        writer: Writer,
        ended: Callable[[Reason], None],
    ) -> None:
        """`ended`: see `Place`."""
        super().__init__(feed.cursor, writer, ended, holds=request.hold)
        self.request = request
        self.console = console
        self.feed = feed
        self.start: Start | None = None
        self.decided = not request.hold
        self.answered = False

    def find_start(self, give: Callable[[Start], None]) -> None:
        """Find out where it is to start: now, or by and by.

        Raises:
            ValueError: it cannot be where the request says.
        """
        records, request = self.console.sequence, self.request
        if isinstance(records, PastRecords):
            give(Start(records.align(Position.parse(request.position or ""))))
        else:
            replay = Replay(From.NONE) if request.replay is None else Replay.parse(request.replay)
            find_start(records, request.position, replay, give)

    def begin(self, start: Start) -> None:
        """Start there."""
        self.start = start
        self.feed.cursor.begin(start.position.offset, start.position.mark)

    def answer(self) -> messages.Place | None:
        """The answer to the request; None where it is not known yet."""
        if self.start is None or not self.decided:
            return None
        return messages.Place(
            self.request.id,
            self.console.info(),
            str(self.start.position),
            self.writer.refusal is not None,
            self.start.missing,
            self.console.why_not,
            self.start.missing_from,
        )
