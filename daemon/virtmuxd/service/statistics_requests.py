"""What one client asks about the daemon itself: what it counts and measures."""

from asyncio import Future
from functools import partial
from typing import assert_never

from virtmux.messages import MAX_PIECE, Done, MetricsText, OpenMetrics, StatisticsMessage, Status
from virtmuxd.core.access import Right
from virtmuxd.service.answers import Answer, Promise
from virtmuxd.service.contained import Boundary, Contained, contained
from virtmuxd.service.exposition import Format
from virtmuxd.service.measurements import Measurements
from virtmuxd.service.rights import Rights


class StatisticsRequests(Contained):
    """The requests of one client, which may also come by the read-only socket."""

    def __init__(
        self, client: Boundary, measurements: Measurements, answer: Answer, promise: Promise, rights: Rights
    ) -> None:
        super().__init__(client)
        self._measurements = measurements
        self._answer = answer
        self._promise = promise
        self._rights = rights

    def carry_out(self, request: Status | OpenMetrics) -> None:
        """Carry a request out, and answer it: now, or by and by."""
        match request:
            case Status(id):
                self._answer(StatisticsMessage(id, self._measurements.statistics()), Done(id))
            case OpenMetrics(id):
                # Single consoles are told of to those who may watch all of them.
                of_consoles = Right.WATCH in self._rights.everywhere()
                rendering = self._measurements.text(Format.OPENMETRICS, of_consoles=of_consoles)
                rendering.add_done_callback(self._promise(partial(self._rendered, id)))
            case _:
                assert_never(request)

    @contained
    def _rendered(self, request: int, rendering: Future[bytes]) -> None:
        text = rendering.result().decode()
        pieces = (text[begin : begin + MAX_PIECE] for begin in range(0, len(text), MAX_PIECE))
        self._answer(*(MetricsText(request, piece) for piece in pieces), Done(request))
