"""What is sent to one client: answers, events, the fate of its input, and the records of its places.

Records are pulled: when the socket takes more, the client's feeds are asked for their next frame in turn. A feed that
is level, of a client for which nothing else waits, is offered the next frame as it comes. So a client that does not
read holds its cursors, the rest of one frame, and a bounded number of answers and events.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

from virtmux.messages import DaemonMessage, Event, encode
from virtmuxd.core.cursor import Cursor, Lag
from virtmuxd.core.past import PastRecords
from virtmuxd.core.sequence import Sequence
from virtmuxd.core.writer import Account

#: Answers that may wait before no more requests are carried out; events, which come unasked, before it is too slow.
MAX_ANSWERS = 64
#: Answers that may be looked for at once in the journal, which all clients share, likewise.
MAX_PROMISED = 2
MAX_EVENTS = 1000
#: What one client may take of a turn of the loop, in bytes.
_TURN = 262144

_T = TypeVar("_T")


class Feed:
    """The records of one place on their way to the client: held back while `paused`, which they are at first."""

    def __init__(
        self, outgoing: "Outgoing", sequence: Sequence | PastRecords, *, lag: Lag | None = None, timed: bool = False
    ) -> None:
        """It starts at the end of the records, unless its cursor is told another point; see there."""
        self.sequence = sequence
        self.cursor = Cursor(sequence.end, sequence.position.mark, self.wake, self.offer, lag=lag, timed=timed)
        self.paused = True
        self.queued = False
        self._outgoing = outgoing

    def flow(self, *, paused: bool) -> None:
        """Hold the records back, or let them go on."""
        self.paused = paused
        if not paused:
            self.wake()

    def wake(self) -> None:
        """There may be something to take."""
        if not self.paused and not self.queued:
            self._outgoing.queue(self)

    def offer(self, frame: bytes) -> bool:
        """Send the next frame now, if nothing else is to be sent; gives whether that was so."""
        return not self.paused and self._outgoing.send_at_once(frame)

    def take(self) -> bytes | None:
        """The next frame; None where there is none now, and it will be woken."""
        if self.paused:
            return None
        frame = self.sequence.take(self.cursor)
        if frame is None and not self.cursor.fetching:
            self.sequence.park(self.cursor)
        return frame

    @property
    def is_level(self) -> bool:
        """Whether all there is was sent, and nothing holds back what comes."""
        end = self.sequence.position
        return not self.paused and self.cursor.point == (end.offset, end.mark)


class Outgoing:
    """See the module. `broken` is called, once, when the client cannot be reached any more; `full` each time that its
    socket takes no more; `failed` where a bug is being handled in what is to be sent."""

    def __init__(
        self,
        connection: socket.socket,
        broken: Callable[[], None],
        full: Callable[[], None],
        failed: Callable[[], None],
    ) -> None:
        self.is_broken = False
        self._full = full
        self._failed = failed
        self._leaving = False
        self._socket = connection
        self._broken = broken
        self._loop = asyncio.get_running_loop()
        self._answers: deque[bytes] = deque()
        self._in_turn: deque[Iterator[DaemonMessage]] = deque()
        self._promised = 0
        self._events: deque[bytes] = deque()
        self._news: dict[tuple[int, type[DaemonMessage]], Callable[[], DaemonMessage]] = {}
        self._accounts: dict[tuple[int, int], Account] = {}
        self._feeds: deque[Feed] = deque()
        self._rest = memoryview(b"")
        self._later: asyncio.Handle | None = None
        self._progress = asyncio.Event()
        #: When something was sent last, in the loop's time.
        self.active_at = self._loop.time()

    def answer(self, *messages: DaemonMessage) -> None:
        """Send messages before anything else that waits."""
        self._answers.extend(encode(message) for message in messages)
        self.pump()

    def answer_in_turn(self, messages: Iterator[DaemonMessage]) -> None:
        """Send many messages, each made when it can be sent, behind the answers that wait and before anything else."""
        self._in_turn.append(messages)
        self.pump()

    def tell(self, event: Event) -> bool:
        """Send an event; False where too many wait."""
        if len(self._events) >= MAX_EVENTS:
            return False
        self._events.append(encode(event))
        self.pump()
        return True

    def tell_news(self, console: int, kind: type[DaemonMessage], make: Callable[[], DaemonMessage]) -> None:
        """Send a message about a place, as it is when it can be sent; it replaces one of its kind that waits."""
        self._news[console, kind] = make
        self.pump()

    def tell_status(self, console: int, account: Account) -> None:
        """Send the fate of input, as it is when it can be sent."""
        self._accounts[console, account.attachment] = account
        self.pump()

    def queue(self, feed: Feed) -> None:
        """The feed has something."""
        feed.queued = True
        self._feeds.append(feed)
        self.pump()

    def remove(self, console: int, feed: Feed) -> None:
        """Send nothing more of a place."""
        feed.paused = True
        if feed.queued:
            self._feeds.remove(feed)
        self._news = {key: make for key, make in self._news.items() if key[0] != console}
        self._accounts = {key: account for key, account in self._accounts.items() if key[0] != console}

    def promise(self, give: Callable[[_T], None]) -> Callable[[_T], None]:
        """An answer will come by and by, with what this is given."""

        def keep(found: _T) -> None:
            self._promised -= 1
            self._progress.set()
            give(found)

        self._promised += 1
        return keep

    async def room_for_answers(self) -> None:
        """Wait while as many answers wait, or are looked for, as may; returns also where nobody reads them any more."""
        while self._is_full and not self.is_broken and not self._leaving:
            self._progress.clear()
            await self._progress.wait()

    @property
    def _is_full(self) -> bool:
        return len(self._answers) > MAX_ANSWERS or bool(self._in_turn) or self._promised >= MAX_PROMISED

    def stop_waiting(self) -> None:
        """The client is sent away: nobody waits for it to read any more."""
        self._leaving = True
        self._progress.set()

    async def say_last(self, message: DaemonMessage) -> None:
        """Send a message behind what is under way, and nothing after it; returns when the socket has it."""
        self._drop()
        self.answer(message)
        while (self._answers or self._rest) and not self.is_broken:
            self._progress.clear()
            await self._progress.wait()

    def close(self) -> None:
        """Send nothing more."""
        self._break()

    def pump(self) -> None:
        """Send as long as there is something and the socket takes it, up to a turn's share. A bug in that ends this
        client, whoever has something for it: often that is another client, or a console."""
        if self.is_broken:
            self._drop()
        if self._rest or self._later is not None:
            return
        try:
            self._send_a_share()
        except Exception:  # noqa: BLE001  # the failure boundary of a client
            self._failed()
        self._progress.set()

    def _send_a_share(self) -> None:
        room = _TURN
        while room > 0 and not self.is_broken:
            frame = self._next_frame()
            if frame is None:
                break
            sent = self._send(frame)
            room -= sent
            if sent < len(frame):
                self._keep_rest(memoryview(frame)[sent:])
                break
        else:
            if not self.is_broken:
                self._later = self._loop.call_soon(self._go_on)

    def send_at_once(self, frame: bytes) -> bool:
        """Send a frame of records if nothing else waits and the socket takes some of it; gives whether it did. What
        `pump` does, without its queue: this is called for each client and packet."""
        if self._rest or self._later is not None or self.is_broken:  # without these `pump` has left nothing
            return False
        try:
            sent = self._socket.send(frame)
        except OSError:
            return False  # `pump` will find that, too
        self.active_at = self._loop.time()
        if sent < len(frame):
            self._keep_rest(memoryview(frame)[sent:])
        return True

    def _go_on(self) -> None:
        self._later = None
        self.pump()

    def _writable(self) -> None:
        self._rest = self._rest[self._send(self._rest) :]
        if not self._rest and not self.is_broken:
            self._loop.remove_writer(self._socket)
            self.pump()

    def _keep_rest(self, rest: memoryview) -> None:
        """The socket is full: what is left of a frame goes first, once it takes more."""
        self._rest = rest
        self._loop.add_writer(self._socket, self._writable)
        self._full()

    def _send(self, data: bytes | memoryview) -> int:
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self._break()
            self._broken()
            return len(data)
        self.active_at = self._loop.time()
        return sent

    def _break(self) -> None:
        if not self.is_broken:
            self.is_broken = True
            self._loop.remove_writer(self._socket)
            if self._later is not None:
                self._later.cancel()
            self._rest = memoryview(b"")
            self._drop()
            self._progress.set()

    def _drop(self) -> None:
        """Forget all that waits."""
        for feed in self._feeds:
            feed.queued = False
        for waiting in (self._answers, self._in_turn, self._events, self._news, self._accounts, self._feeds):
            waiting.clear()

    def _next_frame(self) -> bytes | None:
        """Answers go first, then events, news of places, the fate of input, and records, one frame a feed in turn."""
        if (self._answers or self._in_turn) and (answer := self._next_answer()) is not None:
            return answer
        if self._events:
            return self._events.popleft()
        if self._news:
            return encode(self._news.pop(next(iter(self._news)))())
        if self._accounts:
            key = next(iter(self._accounts))
            return encode(self._accounts.pop(key).status(key[0]))
        while self._feeds:
            feed = self._feeds[0]
            frame = feed.take()
            if frame is not None:
                self._feeds.rotate(-1)
                return frame
            self._feeds.popleft()
            feed.queued = False
        return None

    def _next_answer(self) -> bytes | None:
        if self._answers:
            return self._answers.popleft()
        while self._in_turn:
            message = next(self._in_turn[0], None)
            if message is not None:
                return encode(message)
            self._in_turn.popleft()
        return None
