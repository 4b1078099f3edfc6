"""What holds of every life of a console, whatever its world does, however often the daemon dies, for every reader."""

from collections import Counter
from dataclasses import replace
from itertools import islice
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test

from tests.harness.life import PTY_CLOSED
from tests.harness.reading import Reader
from tests.harness.world import World
from virtmux.messages import MarkMessage, State
from virtmux.reasons import Cause, Phase, Reason
from virtmux.records import Attached, Break, Ended, Mark, rfc3339
from virtmux.wire import Output
from virtmuxd.core.events import Down, Elapsed, Event, Failed, Timer
from virtmuxd.core.evidence import Failure

#: What libvirt's events say of a guest's end.
_SAID = {
    "SHUTDOWN": Cause.GUEST_SHUTDOWN,
    "DESTROYED": Cause.GUEST_DESTROYED,
    "CRASHED": Cause.GUEST_CRASHED,
    "SAVED": Cause.GUEST_SAVED,
    "FAILED": Cause.GUEST_FAILED,
    "MIGRATED": Cause.GUEST_MIGRATED,
}
_LOST = {Cause.HYPERVISOR_LOST, Cause.HYPERVISOR_TIMEOUT}


def _first(event: Event) -> Failure:
    """What is to be saved where this event ends an attachment."""
    match event:
        case Failed(failure):
            return failure
        case Down(at, cause, error):
            return Failure(Phase.CONNECTION, at, error, cause)
        case Elapsed(at, Timer.OUTLIVED):
            return Failure(Phase.LIFECYCLE, at)
        case _:
            return Failure(Phase.SERVER, event.at, cause=Cause.CONSOLE_RELEASED)


def _causes(failure: Failure) -> set[Cause]:
    """What such an end may be called where no event of the guest's explains it."""
    if failure.cause is not None:
        return {failure.cause}
    if failure.stalled:
        return {Cause.STREAM_ENDED, Cause.CONSOLE_TAKEN_OVER} | _LOST
    if failure.error is None:
        return {Cause.STREAM_ENDED}
    if _says_closed(failure):
        return {Cause.STREAM_ERROR}
    return {Cause.HYPERVISOR_LOST} if failure.phase is Phase.SEND else {Cause.STREAM_ERROR, Cause.CONSOLE_TAKEN_OVER}


def _says_closed(failure: Failure) -> bool:
    """Whether its error is that of a PTY whose other end was closed."""
    return failure.error is not None and failure.error.int1 == PTY_CLOSED.int1


class Lives(World):
    """Holds what happens to the promises."""

    #: How many events were taken in each state, by all of them.
    taken: ClassVar[Counter[State]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        #: By number of the mark: the failure for which it was reserved, and its record once that is final.
        self.saved: dict[int, Failure] = {}
        self.final: dict[int, Mark] = {}
        #: How each start of the guest is counted.
        self.incarnations: dict[int, int] = {}
        #: The first mark of this daemon's.
        self.born = 1
        self.readers = [Reader(self.life.sequence) for _ in range(2)]
        self.paces = [0, 0]

    @initialize(paces=st.lists(st.integers(0, 3), min_size=2, max_size=2))
    def readers_come(self, paces: list[int]) -> None:
        """Each takes so many records after every event, besides those that it takes when it likes."""
        self.paces = paces

    def happen(self, event: Event) -> None:
        self.taken[self.life.state] += 1
        put = len(self.life.store.put)
        for number in self.life.reserved:
            if isinstance(event, Down) and self.saved[number].error is None:  # it explains an end that said nothing
                self.saved[number] = replace(self.saved[number], cause=event.cause, error=event.error)
        super().happen(event)
        for mark in self.life.store.put[put:]:
            if mark.reserved:
                self.saved.setdefault(mark.number, _first(event))
        assert not (isinstance(event, Failed | Down) and self.life.state is State.ATTACHED), "it ends nothing"
        if any(_says_closed(self.saved[number]) for number in self.life.reserved):
            assert not self.open_asked, "it may be another guest's PTY by now"
        for reader, pace in enumerate(self.paces):
            self.a_reader_takes(reader, pace)

    @rule()
    def the_daemon_dies(self) -> None:
        """The next one completes what was reserved from what was saved with it; readers go on where they were."""
        saved = [(mark.number, mark.offset, mark.record) for mark in self.life.store.marks]
        places = [reader.position for reader in self.readers]
        self.be_served_by(self.life.next())
        assert [(mark.number, mark.offset, mark.record) for mark in self.life.store.marks] == saved
        assert self.life.reserved == []
        records = self.life.sequence
        assert [records.align(place) for place in places] == places
        self.readers = [Reader(records, place) for place in places]
        self.born = records.position.mark

    @rule(reader=st.integers(0, 1), records=st.integers(1, 9))
    def a_reader_takes(self, reader: int, records: int) -> None:
        """That each record stands where the last one ended, the reader itself holds."""
        for taken in islice(iter(self.readers[reader].take, None), records):
            match taken:
                case Output(_, offset, data):
                    assert data == self.said[offset : offset + len(data)]
                case MarkMessage(_, _, number, record):
                    mark = self.life.store.marks[number - 1]
                    assert (record, mark.reserved) == (mark.record, False)
                case _:
                    raise AssertionError(f"nothing is missing, so there is no {taken}")

    # What always holds.

    @invariant()
    def what_is_final_never_changes(self) -> None:
        for mark in self.life.store.marks:
            if not mark.reserved:
                assert self.final.setdefault(mark.number, mark.record) == mark.record

    @invariant()
    def readers_hold_in_front_of_what_is_reserved(self) -> None:
        for mark in self.life.store.marks:
            if mark.reserved:
                for place in (reader.position for reader in self.readers):
                    assert place.offset <= mark.offset
                    assert place.mark <= mark.number

    @invariant()
    def the_first_error_wins(self) -> None:
        """What was saved at the moment of failure stands, in the mark and in what a crash would leave of it."""
        for mark in self.life.store.marks:
            failure = self.saved.get(mark.number)
            match mark.record:
                case Ended(attachment=int(), reason=reason):
                    assert failure is not None, "an end without a failure"
                    saved = failure.phase, rfc3339(failure.at), failure.error, mark.offset
                    assert (reason.phase, reason.at, reason.error, reason.offset) == saved
                    assert reason.event is not None or reason.cause in _causes(failure)
                case Break():
                    assert failure is None or failure.stalled, "a false alarm that was none"
                case _:
                    assert failure is None

    @invariant()
    def every_attachment_has_one_end_of_its_own(self) -> None:
        """Behind its beginning, and explained by nothing but its own start of the guest."""
        attached, last, cause = None, 0, None
        for mark in self.life.store.marks[self.born - 1 :]:
            match mark.record:
                case Attached() as record:
                    assert (attached, record.attachment) == (None, last + 1)
                    attached, last, cause = record, record.attachment, None
                    start = self.starts[self.opened[last - 1]]
                    assert self.incarnations.setdefault(start, record.incarnation) == record.incarnation
                case Ended(attachment=None, reason=reason):
                    assert attached is None, "an end without attachment while there is one"
                    assert reason.cause is not cause, "repeats make no mark"
                    cause = reason.cause
                case Ended(attachment=attachment, reason=reason):
                    assert attached is not None
                    assert attachment == last
                    self._is_evidence_of(attached, reason)
                    attached, cause = None, reason.cause
                case Break() if mark.number in self.saved:
                    attached = None
                case _:
                    pass
        assert (attached is not None) == (self.life.state is State.ATTACHED)
        assert last == self.life.machine.attachment == len(self.opened)
        assert list(self.incarnations.values()) == sorted(set(self.incarnations.values()))

    def _is_evidence_of(self, attached: Attached, reason: Reason) -> None:
        assert reason.console is not None
        assert reason.console.incarnation == attached.incarnation
        if reason.event is not None:
            name, _, running_id = reason.event.name.partition(" ")
            # A look at the domain's state cannot tell one start from the next; an event can.
            assert running_id in ("", f"{self.opened[attached.attachment - 1]}")
            assert name != "STOPPED" or reason.cause is _SAID[reason.event.detail or ""]
            assert name != "DEVICE_REMOVED" or reason.cause is Cause.DEVICE_REMOVED

    def teardown(self) -> None:
        """Whatever was going on, once all is answered every end is explained and the console is held or waited for."""
        self.come_to_rest()
        self.what_is_final_never_changes()
        self.the_first_error_wins()
        self.every_attachment_has_one_end_of_its_own()
        for number, reader in enumerate(self.readers):
            self.a_reader_takes(number, self.now)
            assert reader.position == self.life.sequence.position
        assert self.life.reserved == []
        assert self.there is None
        claim = self.life.machine.claim
        if self.undefined and not self.running and self.life.state is State.ABSENT:
            return
        if not claim.laid:
            assert self.life.state is (State.WAITING if claim.demanded and claim.why_not else State.ABSENT)
        elif not self.running:
            assert self.life.state is State.WAITING
        elif self.running_id not in self.unplugged:
            waiting = self.life.machine.waiting
            failed_itself = waiting is not None and waiting.cause is Cause.INTERNAL_ERROR
            assert self.life.state is (State.WAITING if failed_itself else State.ATTACHED)
        assert self.life.state is not State.ATTACHED or self._is_live, "what is gone is not held for ever"


def test_every_life_keeps_the_promises() -> None:
    run_state_machine_as_test(Lives, settings=settings(max_examples=150, stateful_step_count=40))

    assert min(Lives.taken[state] for state in State) > 100, f"hardly anything happened in some state: {Lives.taken}"
