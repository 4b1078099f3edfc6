"""One console: its identity, its records, its life, its input and the clients that have a place at it.

Here the edges meet. The hypervisor side brings output and events and carries out the commands that they lead to; the
service side takes places, types, and reads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from virtmux import messages
from virtmux.messages import ConsoleInfo, State
from virtmux.reasons import Cause, ConsoleId, Reason
from virtmux.records import Break, Ended, Note, Position, rfc3339
from virtmuxd.core.backoff import Backoff
from virtmuxd.core.events import Command, Demand, Event, Policy, Timing, time_of
from virtmuxd.core.evidence import Evidence
from virtmuxd.core.inputs import Inputs, Writer
from virtmuxd.core.machine import Machine
from virtmuxd.core.sequence import Cursor, Sequence, Store, StoredMark


class ConsoleKey(NamedTuple):
    """The identity of a console: hypervisor (driver, instance and host UUID), domain UUID, device alias."""

    hypervisor: str
    uuid: str
    device: str


@dataclass(slots=True)
class Naming:
    """Ways to find a console that may change, and what its XML says. `index` is its order within the domain."""

    uri: str
    domain: str
    backend: str
    index: int


class Place:
    """A client's place at one console: where it reads, and whether and what it types."""

    def __init__(self, cursor: Cursor, writer: Writer) -> None:
        self.cursor = cursor
        self.writer = writer


class Console:
    """See the module. `run`, which carries out commands, and `input_waits` are set by the hypervisor side."""

    def __init__(
        self,
        key: ConsoleKey,
        naming: Naming,
        handle: int,
        store: Store,
        *,
        policy: Policy,
        timing: Timing,
        backoff: Backoff,
        window: int,
        tell: Callable[[messages.Event], None],
    ) -> None:
        self.key = key
        self.naming = naming
        self.handle = handle
        self.present = True
        self.run: Callable[[list[Command]], None] = _ignore
        self.input_waits: Callable[[], None] = _wait
        self.store = store
        self.sequence = Sequence(handle, store, self._tell_mark)
        self.inputs = Inputs(window)
        self.last_output: int | None = None
        self._tell = tell
        self._places: set[Place] = set()
        self._settled: list[Callable[[], None]] = []
        number, running_id = store.incarnation
        self.machine = Machine(
            self.sequence,
            identify=self.identify,
            policy=policy,
            backoff=backoff,
            known=Evidence(number, running_id),
            unheld_since=store.held_until,
            timing=timing,
        )
        self._recover()

    def _recover(self) -> None:
        """Complete what a crash left reserved, from the cause that was saved with it."""
        for mark in self.sequence.reserved_marks():
            self.sequence.complete(mark, mark.record)

    # Identity.

    def identify(self, incarnation: int) -> ConsoleId:
        """The console's id in an incarnation."""
        return ConsoleId(
            self.key.hypervisor, self.naming.uri, self.naming.domain, self.key.uuid, self.key.device, incarnation
        )

    @property
    def id(self) -> ConsoleId:
        """The console's id now."""
        return self.identify(self.machine.newest.number)

    @property
    def running_id(self) -> int:
        """libvirt's id of the running domain, -1 where it does not run."""
        return self.machine.newest.running_id if self.machine.newest.running else -1

    @property
    def forsaken(self) -> bool:
        """Whether it has vanished, and nobody holds it or has a place at it."""
        return not self.present and not self._places and self.machine.state in (State.ABSENT, State.WAITING)

    def info(self) -> ConsoleInfo:
        """The console as `list` shows it."""
        last_end = self.sequence.last_end
        return ConsoleInfo(
            console=self.handle,
            id=self.id,
            state=self.machine.state,
            since=rfc3339(self.machine.since or 0),
            running=self.machine.newest.running,
            backend=self.naming.backend,
            clients=len(self._places),
            attachment=self.machine.attachment if self.machine.state is State.ATTACHED else None,
            position=str(self.sequence.position),
            last_output=None if self.last_output is None else rfc3339(self.last_output),
            last_end=last_end.reason if last_end else None,
        )

    # From the hypervisor side.

    def handle_event(self, event: Event) -> None:
        """Take what happened, and have carried out what follows from it."""
        before, attachment = self.machine.state, self.machine.attachment
        known = self.machine.newest.number, self.running_id
        commands = self.machine.handle(event)
        state = self.machine.state
        if (self.machine.newest.number, self.running_id) != known:
            self.store.remember(self.machine.newest.number, self.running_id)
        # One event can begin an attachment and end it: where nobody wants the console any more once it is open.
        opened = self.machine.attachment != attachment
        if opened:
            self.store.held(time_of(event))
            self.inputs.start(self.machine.attachment)
        if (opened or before is State.ATTACHED) and state is not State.ATTACHED:
            self.store.held(time_of(event))
            self.inputs.end(self._end_cause())
        if state is State.WAITING and before is not State.WAITING:
            self.tell("waiting", time_of(event), self.machine.waiting)
        self.run(commands)
        if self.machine.settled:
            settled, self._settled = self._settled, []
            for answer in settled:
                answer()

    def close(self, at: int) -> None:
        """The daemon stops in order: record it, and let go of the store."""
        if self.machine.state is State.ATTACHED:
            self.store.held(at)
        self.store.close(at)

    def append(self, data: bytes, at: int) -> None:
        """Append output of the attachment; `sequence.publish()` follows when all that arrived together is in."""
        self.sequence.append(data, at)
        self.last_output = at

    def _end_cause(self) -> Cause:
        """The cause of the end that has just begun, as far as it is known."""
        reserved = self.sequence.reserved_marks()
        record = reserved[-1].record if reserved else self.sequence.last_end
        return record.reason.cause if isinstance(record, Ended) else Cause.INTERNAL_ERROR

    # From the service side.

    def enter(self, place: Place, at: int) -> None:
        """Give a client its place. The console is opened if that was not so and the policy allows it."""
        self._places.add(place)
        self.handle_event(Demand(at, present=True))

    def leave(self, place: Place, at: int) -> None:
        """Take a client's place away; what it typed before goes its way."""
        self._places.discard(place)
        self.sequence.leave(place.cursor)
        self.inputs.forget(place.writer)
        if not self._places:
            self.handle_event(Demand(at, present=False))

    def type(self, place: Place, attachment: int, input_offset: int, data: bytes) -> None:
        """Take input from a client.

        Raises:
            ProtocolError: as `Inputs.offer`.
        """
        self.inputs.offer(place.writer, attachment, input_offset, data)
        if self.inputs.waiting:
            self.input_waits()

    def when_settled(self, answer: Callable[[], None]) -> None:
        """Call once it is decided whether the console can be had: now, or later."""
        if self.machine.settled:
            answer()
        else:
            self._settled.append(answer)

    @property
    def why_not(self) -> Reason | None:
        """Why the console is not attached, where that is known."""
        return self.machine.waiting

    def start_of(self, position: str | None) -> tuple[Position, bool]:
        """Where a reader that asks for `position` starts, and whether the history that it asked for is missing.

        None is the end of the records; a bare offset is one of the history that is held.

        Raises:
            ValueError: it is no position, or ahead of the records.
        """
        here = self.sequence.position
        if position is None:
            return here, False
        bare = position.isascii() and position.isdecimal()
        asked = Position.parse(f"{here.history}:{position}:0" if bare else position)
        if asked.history != here.history:
            return self.sequence.oldest, True
        return self.sequence.settle(asked), False

    # To those who watch.

    def tell(self, event: str, at: int, reason: Reason | None = None) -> None:
        """Tell those who watch of something that is no mark."""
        self._tell(
            messages.Event(
                event=event, at=rfc3339(at), console=self.id, offset=self.sequence.end, mark=None, reason=reason
            )
        )

    def _tell_mark(self, mark: StoredMark) -> None:
        record = mark.record
        self._tell(
            messages.Event(
                event=type(record).__name__.lower(),
                at=record.at,
                console=record.reason.console or self.id if isinstance(record, Ended) else self.id,
                offset=mark.offset,
                mark=mark.number,
                reason=record.reason if isinstance(record, Ended) else None,
                since=record.since if isinstance(record, Break) else None,
                until=record.until if isinstance(record, Break) else None,
                note=record.note if isinstance(record, Note) else None,
            )
        )


def _ignore(commands: list[Command]) -> None:
    """Until the hypervisor side takes over, nothing is carried out."""


def _wait() -> None:
    """Until the hypervisor side takes over, input waits."""
