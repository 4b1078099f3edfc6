"""A client's place at a console, as the socket sees it: what was asked for, where it starts, and how it is answered."""

import time
from collections.abc import Callable

from virtmux import messages
from virtmux.features import Feature
from virtmux.people import Person
from virtmux.reasons import Reason
from virtmux.records import Position
from virtmux.replay import From, Replay
from virtmuxd.core.console import Console
from virtmuxd.core.cursor import Lag
from virtmuxd.core.past import PastConsole, PastRecords
from virtmuxd.core.place import Place
from virtmuxd.core.start import Start, find_start
from virtmuxd.core.writer import Writer
from virtmuxd.service.audit import Audit, PlaceAudit
from virtmuxd.service.outgoing import Feed, Outgoing

_SECOND = 10**9


class ClientPlace(Place):
    """A place that a client has asked for. It may be `answered` once it is known where it starts, and, where it holds
    the console, whether that can be had (`decided`)."""

    def __init__(
        self,
        request: messages.Attach,
        console: Console | PastConsole,
        outgoing: Outgoing,
        writer: Writer,
        *,
        ended: Callable[[Reason], None],
        review: Callable[[], None],
        who: Person,
        knows: frozenset[str],
        audit: Audit,
    ) -> None:
        """`ended`: see `Place`. `review` is called where other rules may be for it. `knows`: the client's features."""
        lag = None if request.lag is None else _lag(request.lag)
        self.feed = Feed(outgoing, console.sequence, lag=lag, timed=request.timed)
        super().__init__(self.feed.cursor, writer, ended, who=who, holds=request.hold, since=time.time_ns())
        self.request = request
        self.console = console
        self.start: Start | None = None
        self.decided = not request.hold
        self.answered = False
        self.audit = PlaceAudit(audit, lambda: console.id)
        #: Whether it is known that it typed where it may not.
        self.was_refused = False
        #: Where the records ended as it was asked for, or where the client's reading began before: see `Proofs`.
        self.reads_from = console.sequence.position
        self._review = review
        self._outgoing = outgoing
        self._tells_roles = Feature.ROLES in knows

    def find_start(self, give: Callable[[Start], None], *, reads_all: bool) -> None:
        """Find out where it is to start: now, or by and by; not before `reads_from`, unless it may read all.

        Raises:
            ValueError: it cannot be where the request says.
        """
        records, request = self.console.sequence, self.request
        if isinstance(records, PastRecords):
            give(Start(records.align(Position.parse(request.position or ""))))
        else:
            replay = Replay(From.NONE) if request.replay is None else Replay.parse(request.replay)
            find_start(records, request.position, replay, give, since=None if reads_all else self.reads_from)

    def limited(self, start: Start) -> Start:
        """As much of it as a client may have that has no right to what came before `reads_from`."""
        begin, least = start.position, self.reads_from
        if begin.history == least.history and (begin.offset, begin.mark) >= (least.offset, least.mark):
            return start
        return Start(least, withheld=begin.history != least.history or begin.offset < least.offset)

    def begin(self, start: Start) -> None:
        """Start there."""
        self.start = start
        self.feed.cursor.begin(start.position.offset, start.position.mark)

    @property
    def reads_history(self) -> bool:
        """Whether it is at records that came before its client did."""
        cursor, begin = self.feed.cursor, self.reads_from
        return isinstance(self.console, PastConsole) or cursor.point < (begin.offset, begin.mark)

    def answer(self, prove: Callable[[Position], str]) -> messages.Place | None:
        """The answer to the request, with the proof of where it reads from; None where it is not known yet."""
        if self.start is None or not self.decided:
            return None
        return messages.Place(
            self.request.id,
            self.console.info(),
            str(self.start.position),
            not self.role.types,
            self.start.missing,
            self.console.why_not,
            self.start.missing_from,
            self.role,
            self.token,
            self.by,
            self.start.withheld,
            prove(self.reads_from),
        )

    def renamed(self) -> None:
        """As `Place.renamed`."""
        self._review()

    def tell_role(self, by: Person | None) -> None:
        """As `Place.tell_role`; before the answer, which says it."""
        if self.answered and self._tells_roles:
            handle = self.console.handle
            self._outgoing.tell_news(
                handle, messages.RoleChanged, lambda: messages.RoleChanged(handle, self.role, self.by or by)
            )

    def tell_company(self) -> None:
        """As `Place.tell_company`."""
        if self.answered and self._tells_roles and self.request.company:
            self._outgoing.tell_news(self.console.handle, messages.Company, self._company)

    def _company(self) -> messages.Company:
        return messages.Company(self.console.handle, *self.console.company.others(self))


def _lag(lag: messages.Lag) -> Lag:
    return Lag(lag.bytes, round(lag.seconds * _SECOND), lag.then == "leave")
