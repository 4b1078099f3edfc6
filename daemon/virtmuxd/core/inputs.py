"""Input on its way to one attachment of a console: whose bytes wait, are under way, and what became of them.

Nothing that was typed at one attachment ever reaches another: what is queued when it ends is rejected, what is under
way then is unknown, and both are said.

Input goes out in batches of a few packets. Accepted is what the guest's serial line has taken, which a fence at the end
of a batch tells (docs/libvirt.md, "The fence"). Not every batch has one, for whoever types would wait for it: there is
one behind `UNFENCED_SIZE`, and when somebody asks, as is done for what is `unsettled` once there is a pause. A
keystroke or two stay unaccounted for until more comes. On a connection that carries other consoles too a fence could
stop them all: there libvirt's word is taken for it, and a guest that says nothing gets no more than a budget.
"""

from collections import Counter
from typing import NamedTuple

from virtmux.reasons import Cause
from virtmux.wire import ProtocolError
from virtmuxd.core.budget import Budget
from virtmuxd.core.input_queue import InputQueue
from virtmuxd.core.writer import Account, Writer, nobody

#: Input without a fence is unsettled from so many packets on, or from more bytes than these.
SETTLE_FROM, SETTLE_BEYOND = 3, 256
#: So few bytes a guest that takes input has taken in no time.
_FEW = 256
#: Bytes of a packet.
PACKET = 2048
#: Bytes that are sent without a fence, at most: what a slow guest reads within the deadline of one.
UNFENCED_SIZE = 3 * PACKET
#: Bytes that a guest may have been sent without saying anything: its serial line takes 13 KB that nobody reads. Behind
#: a shared connection it is sent no more; on one of its own it may take long with what is beyond.
BUDGET = 8192


class Batch(NamedTuple):
    """Packets to be sent in order, and whether a fence follows them; a fence alone is a probe.

    `prompt`: whether that is to be answered soon, since the guest has little to take before it.
    """

    attachment: int
    packets: tuple[bytes, ...]
    fence: bool
    prompt: bool = True


class Inputs:
    """The input of one console, in order of arrival, bounded by the window of each writer."""

    def __init__(self) -> None:
        #: What became of all input so far, in bytes.
        self.accepted = self.unknown = self.rejected = 0
        self._attachment = 0
        self._open = False
        self._shared = False
        self._held = False
        self._ended_by: Cause | None = Cause.CONSOLE_RELEASED
        self._unexplained: dict[Writer, None] = {}
        self._queue: InputQueue[Writer] = InputQueue(PACKET)
        self._batch: Batch | None = None
        #: Bytes sent, or being sent, and not accepted; the packets, and their bytes, that no fence follows yet.
        self._under_way: Counter[Writer] = Counter()
        self._unfenced_packets = self._unfenced_size = 0
        self._asked = False
        self._probing = False
        self._budget = Budget(BUDGET)
        #: Bytes sent beyond as many as the guest has said since: what it has not read outlives an attachment.
        self._unheard = 0
        #: Bytes queued by clients that have left.
        self._left_behind = 0

    @property
    def waiting(self) -> bool:
        """Whether there is something to send now."""
        if self._batch is not None or not self._open:
            return False
        return self._sendable or self._fence_due

    @property
    def unsettled(self) -> bool:
        """Whether there is to be a fence once there is a pause."""
        return self._unfenced_packets >= SETTLE_FROM or self._unfenced_size > SETTLE_BEYOND

    @property
    def _sendable(self) -> bool:
        return bool(self._queue) and not self._waits

    @property
    def _waits(self) -> bool:
        """Whether input waits for the guest."""
        return self._held or (self._shared and not self._budget.left)

    @property
    def _fence_due(self) -> bool:
        """Whether somebody waits for a fence. Behind input that waits, or that a paused guest has not taken, none."""
        if self._shared or (self._held and (self._queue or self._under_way)):
            return False
        return self._probing or (self._asked and bool(self._under_way))

    # The attachment.

    def start(self, attachment: int, *, shared: bool = False) -> None:
        """An attachment began; input for it may come."""
        self._attachment = attachment
        self._open = True
        self._shared = shared
        self._budget = Budget(BUDGET)

    def end(self) -> None:
        """The attachment ended: what is under way is unknown, what is queued is rejected. `explain` says why."""
        self._open = self._held = self._asked = self._probing = False
        for writer, size in self._under_way.items():
            writer.account.unknown = size
            self.unknown += size
            self._unexplained[writer] = None
        for writer in self._queue:
            self._drop(writer)
            self._unexplained[writer] = None
        self._under_way.clear()
        self._batch = None
        self._unfenced_packets = self._unfenced_size = self._left_behind = 0
        self._ended_by = None

    def explain(self, cause: Cause) -> None:
        """Tell those whose input went no further why the attachment ended."""
        self._ended_by = cause
        writers, self._unexplained = self._unexplained, {}
        for writer in writers:
            writer.account.cause = cause
            writer.changed()

    def hold(self, *, held: bool) -> None:
        """The guest is paused and takes no input, or it goes on. Who waits is told."""
        self._held = held
        self._tell_held()

    def heard(self, size: int) -> bool:
        """The guest said something, so it may be sent as much again. Gives whether input waited for that."""
        self._unheard = max(0, self._unheard - size)
        if not self._shared:
            return False
        waited = not self._budget.left and bool(self._queue)
        self._budget.heard(size)
        if waited:
            self._tell_held()
        return waited

    def _tell_held(self) -> None:
        """Tell each writer whose input begins to wait, or ceases to."""
        for writer in self._queue:
            if writer.account.held is not self._waits:
                writer.account.held = self._waits
                writer.changed()

    # Input.

    def offer(self, writer: Writer, attachment: int, input_offset: int, data: bytes) -> None:
        """Queue input, or reject it where it cannot be meant for the guest as it is now.

        Raises:
            ProtocolError: the offset does not follow the writer's last, the window is exceeded, or the attachment never
                was.
        """
        account = writer.account
        if not account.attachment <= attachment <= self._attachment:
            raise ProtocolError(f"input for attachment {attachment}, the current one is {self._attachment}")
        if attachment != account.attachment:
            account = writer.account = Account(attachment)
        if input_offset != account.received:
            raise ProtocolError(f"input at offset {input_offset}, expected {account.received}")
        if account.pending + len(data) > writer.window:
            raise ProtocolError(f"more than {writer.window} bytes of input in the window")
        if writer.refusal is None and account.refused:
            account = self._begin_again(writer)
        account.received += len(data)
        if writer.refusal is None and self._open and attachment == self._attachment:
            self._queue.add(writer, data)
            if self._waits and not account.held:  # whoever else waits knows it
                account.held = True
                writer.changed()
            return
        self._reject(writer, len(data))
        if writer.refusal is not None:
            self._refused(writer, writer.refusal)
            return
        account.cause = self._ended_by
        if account.cause is None:
            self._unexplained[writer] = None
        else:
            writer.changed()

    def _reject(self, writer: Writer, size: int) -> None:
        writer.account.rejected += size
        self.rejected += size

    def ask(self) -> None:
        """Somebody wants to know the fate of what was sent; a fence will tell, once nothing waits any more."""
        self._asked = True

    def probe(self) -> None:
        """Send a fence, to find out whether the stream is still served."""
        self._probing = True

    def refuse(self, writer: Writer, cause: Cause) -> None:
        """The writer may type no more: displaced, or its right is gone. What it has queued is rejected, and it is told;
        what is under way has its fate told as ever."""
        writer.refusal = cause
        before = writer.account.rejected
        self._drop(writer)
        if writer.account.rejected > before:
            self._refused(writer, cause)

    def _refused(self, writer: Writer, cause: Cause) -> None:
        """Some input of the writer was rejected because it may not type. What is under way comes before that, and is
        to be found out first."""
        writer.account.refused = True
        writer.account.cause = cause
        if writer in self._under_way:
            self.ask()
        else:
            writer.changed()

    def permit(self, writer: Writer) -> None:
        """The writer may type again. What it types from now on is counted anew where some was refused meanwhile."""
        writer.refusal = None

    def _begin_again(self, writer: Writer) -> Account:
        """Of what is under way for it still, nothing is told any more."""
        former = Writer(nobody)
        former.account, writer.account = writer.account, writer.account.begin_again()
        if writer in self._under_way:
            self._under_way[former] = self._under_way.pop(writer)
        return writer.account

    def forget(self, writer: Writer) -> None:
        """The client left: nobody is told any more. What it typed before goes its way; but no more than a window of
        such input waits for a guest that takes none."""
        writer.leave()
        queued = self._queue.waiting(writer)
        if self._left_behind + queued > writer.window:
            self._drop(writer)
        else:
            self._left_behind += queued
        if not self._queue:
            self._left_behind = 0

    def refuse_those_who_left(self) -> None:
        """What clients have queued that left since goes no further."""
        for writer in self._queue:
            if writer.has_left:
                self._drop(writer)
        self._left_behind = 0

    def _drop(self, writer: Writer) -> None:
        self._reject(writer, self._queue.drop(writer))

    # On its way.

    def take(self) -> Batch | None:
        """What to send next; None where nothing is to be sent now. Answered by `sent`."""
        if not self.waiting:
            return None
        packets: list[bytes] = []
        room = UNFENCED_SIZE - self._unfenced_size
        while self._sendable and room > 0:
            packets.append(self._packet(min(PACKET, room)))
            room -= len(packets[-1])
        if not self._queue:
            self._left_behind = 0
        due = self._probing or (self._asked and not self._queue)
        self._unfenced_packets += len(packets)
        self._unfenced_size = UNFENCED_SIZE - room
        fence = not self._shared and (due or room <= 0)
        if fence or self._shared:
            self._unfenced_packets = self._unfenced_size = 0
        if fence:
            self._probing = False
            self._asked = self._asked and bool(self._queue)
        prompt = self._under_way.total() <= _FEW and self._unheard <= BUDGET
        self._batch = Batch(self._attachment, tuple(packets), fence, prompt)
        if self._waits:
            self._tell_held()
        return self._batch

    def _packet(self, room: int) -> bytes:
        pieces: list[bytes] = []
        if self._shared:
            room = min(room, self._budget.left)
        while self._queue and room > 0:
            writer, data = self._queue.take(room)
            room -= len(data)
            pieces.append(data)
            self._under_way[writer] += len(data)
        packet = b"".join(pieces)
        self._unheard += len(packet)
        if self._shared:
            self._budget.spend(len(packet))
        return packet

    def sent(self, batch: Batch) -> None:
        """libvirt took the batch, and answered its fence; of one for an ended attachment nothing is left to be said."""
        if batch is not self._batch:
            return
        self._batch = None
        if not (batch.fence or self._shared):
            return
        concerned, self._under_way = self._under_way, Counter()
        for writer, size in concerned.items():
            writer.account.accepted += size
            self.accepted += size
        for writer in concerned:
            writer.changed()
