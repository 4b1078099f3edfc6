"""A console's state machine alone, for tests that read as scripts: events in, state, commands and marks out."""

from tests.harness.memory_store import MemoryStore
from virtmux.backoff import Backoff
from virtmux.messages import State
from virtmux.reasons import Cause, ConsoleId, LibvirtEvent, Phase, Reason, SavedError
from virtmux.records import Attached, Break, Ended, Mark, Note
from virtmuxd.core.effects import Begin, ClearTimer, Close, Command, Duty, End, Keep, Open, Query, Remember, SetTimer
from virtmuxd.core.events import Demand, Down, Event, Failed, Opened, OpenFailed, Policy, Stopped, Timing, Undefined, Up
from virtmuxd.core.evidence import Evidence, Failure
from virtmuxd.core.machine import Machine
from virtmuxd.core.sequence import Sequence
from virtmuxd.core.store import StoredMark

SECOND = 10**9


def at(seconds: float) -> int:
    """A moment of a script, in nanoseconds."""
    return 1_700_000_000 * SECOND + int(seconds * SECOND)


def libvirt_error(code: int, domain: int, message: str = "", *, int1: int = -1) -> SavedError:
    """An error as libvirt gives it, `code/domain` as docs/libvirt.md writes them."""
    return SavedError(
        code=code,
        code_name="",
        domain=domain,
        domain_name="",
        level=2,
        message=message,
        str1=None,
        str2=None,
        str3=None,
        int1=int1,
        int2=-1,
        api="virStreamRecv",
    )


TAKEN_OVER = libvirt_error(39, 38, "stream had I/O failure")
PTY_CLOSED = libvirt_error(38, 38, "cannot write to stream: Input/output error", int1=5)
BUSY = libvirt_error(9, 10, "Active console session exists for this domain")
STARTING = libvirt_error(9, 0, "operation failed: PTY device is not yet assigned")
PTY_GONE = libvirt_error(38, 38, "Unable to open stream for '/dev/pts/5': Permission denied", int1=13)
NOT_RUNNING = libvirt_error(55, 20, "domain is not running")
CONNECTION_LOST = libvirt_error(38, 7, "End of file while reading data")

#: libvirt's ids of a guest that runs, and of its next start; what a `Demand` says.
ID, NEXT_ID = 5, 6
COME, GO = True, False
POWERED_OFF = LibvirtEvent("SHUTDOWN", "GUEST")

# What happens in a script, at a second of it.


def eof(seconds: float) -> Failed:
    return Failed(Failure(Phase.RECEIVE, at(seconds)))


def stream_error(seconds: float, error: SavedError = TAKEN_OVER) -> Failed:
    return Failed(Failure(Phase.RECEIVE, at(seconds), error))


def stopped(seconds: float, detail: str = "DESTROYED") -> Stopped:
    return Stopped(at(seconds), LibvirtEvent("STOPPED", detail))


def undefined(seconds: float) -> Undefined:
    return Undefined(at(seconds), LibvirtEvent("UNDEFINED", "REMOVED"))


def down(seconds: float, cause: Cause = Cause.HYPERVISOR_LOST, error: SavedError | None = None) -> Down:
    return Down(at(seconds), cause, error)


class Life:
    """One machine, the marks that it made, and the commands that the last event led to."""

    def __init__(
        self,
        policy: Policy = Policy.ALWAYS,
        *,
        store: MemoryStore | None = None,
        known: Evidence | None = None,
        unheld_since: int | None = None,
        released_until: int | None = None,
        exclusive: bool = True,
    ) -> None:
        self.store = store or MemoryStore()
        self.final = list[StoredMark]()
        self.sequence = Sequence(7, self.store, self.final.append)
        self.machine = Machine(
            self.sequence,
            identify=lambda number: ConsoleId("hypervisor", "qemu:///system", "web1", "uuid", "serial0", number),
            policy=policy,
            backoff=Backoff(lambda: 0.0),
            known=known or Evidence(0, -1),
            unheld_since=unheld_since,
            timing=Timing(evidence=2.0, linger=60.0, probe_after=3.0),
            released_until=released_until,
            exclusive=exclusive,
        )
        self.commands: list[Command] = []
        self.duties: list[Duty] = []

    def happen(self, *events: Event) -> list[Command]:
        """Let these events happen; gives all the commands that they led to."""
        self.commands = []
        for event in events:
            for effect in self.machine.handle(event):
                match effect:
                    case Open() | Close() | Query() | SetTimer() | ClearTimer():
                        self.commands.append(effect)
                    case _:
                        self.duties.append(effect)
                        self._store(effect)
        return self.commands

    def _store(self, duty: Duty) -> None:
        """Store what the console would."""
        match duty:
            case Begin(at):
                self.store.hold(at)
            case End(at):
                self.store.let_go(at)
            case Remember(number, running_id):
                self.store.remember(number, running_id)
            case Keep(until):
                self.store.release(until)
            case _:
                pass  # it is for others

    def next(self) -> "Life":
        """The console in the next daemon, which knows no more than what this one stored until now."""
        store = self.store.reopened()
        return Life(
            self.machine.claim.policy,
            store=store,
            known=Evidence(*store.incarnation),
            unheld_since=store.held_until,
            released_until=store.released_until,
        )

    @property
    def state(self) -> State:
        return self.machine.state

    @property
    def reserved(self) -> list[int]:
        """The numbers of the marks that readers hold in front of."""
        return [mark.number for mark in self.store.marks if mark.reserved]

    @property
    def marks(self) -> list[Mark]:
        """The records of all final marks, in the order of their numbers."""
        return [mark.record for mark in sorted(self.final, key=lambda mark: mark.number)]

    @property
    def story(self) -> list[str]:
        """The marks in short: `attached 1`, `ended 1 guest-shutdown`, `break`, a note's name."""
        return [_short(record) for record in self.marks]

    @property
    def reason(self) -> Reason:
        """The reason of the last `ended` mark."""
        return next(record.reason for record in reversed(self.marks) if isinstance(record, Ended))


def _short(record: Mark) -> str:
    match record:
        case Attached(attachment=attachment):
            return f"attached {attachment}"
        case Ended(attachment=attachment, reason=reason):
            return f"ended {attachment} {reason.cause}" if attachment else f"not opened {reason.cause}"
        case Break():
            return "break"
        case Note(note=note):
            return note


def attached(policy: Policy = Policy.ALWAYS) -> Life:
    """A console that was opened for the first time, at second 1, for a guest that ran before."""
    life = Life(policy)
    life.happen(Demand(at(0), COME), Up(at(0), ID), Opened(at(1), ID))
    assert (life.state, life.story) == (State.ATTACHED, ["attached 1"])
    return life


def waiting_for(error: SavedError = BUSY) -> Life:
    """A console whose opening failed, at second 1."""
    life = Life()
    life.happen(Up(at(0), ID), OpenFailed(at(1), error))
    assert life.state == "waiting"
    return life
