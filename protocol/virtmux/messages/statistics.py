"""What a daemon counts and measures, as it tells it. Pure."""

from msgspec import Struct

from virtmux.messages.values import Counters, State
from virtmux.reasons import Cause
from virtmux.wire import U32, U63


class Tally(Struct, frozen=True):
    """What was counted at consoles since the daemon started: sums, which only grow while the hypervisors are the same.

    `attachments`: times that a console was opened; `breaks`: times in which nobody held one, `break_seconds` long
    together; `output`: bytes that were received; `delivered`: bytes of output that clients were given; `gaps`:
    messages `gap`, about `gap_bytes` of output; `accepted`, `unknown` and `rejected`: bytes of input, by their fate;
    `evictions`: places that were taken away from clients.
    """

    attachments: U63 = 0
    breaks: U63 = 0
    break_seconds: float = 0.0
    output: U63 = 0
    delivered: U63 = 0
    gaps: U63 = 0
    gap_bytes: U63 = 0
    accepted: U63 = 0
    unknown: U63 = 0
    rejected: U63 = 0
    evictions: U63 = 0


class Threads(Struct, frozen=True):
    """Threads for libvirt calls: those that are in one (`busy`), of at most so many (`quota`); and those among them
    that do not return although their connection was cut (`stuck`)."""

    busy: U32 = 0
    quota: U32 = 0
    stuck: U32 = 0


class ProcessInfo(Struct, frozen=True):
    """The daemon's process: files that it has open, and may have; memory that it takes, in bytes; seconds of CPU that
    it used."""

    open_files: U32
    max_files: U63
    memory: U63
    cpu_seconds: float


class Statistics(Struct, frozen=True, kw_only=True):
    """The daemon as a whole, since it started (`since`); of the hypervisors their sums.

    `clients`: connections; `client_ends`: those that ended, by cause; `places` of clients at consoles; `consoles` by
    their state; `unheld`: consoles that are to be held, whose guest runs, and that are not attached; `lag`: by how many
    bytes the place that is furthest behind lags, of what came while it was there. `journal_failing`: consoles whose
    records the disk does not take now; `journal_lag`: bytes of one console that are not in its journal yet, at most.
    `loop_lag`: by how many seconds the event loop was late, at most, in the last minute.
    """

    since: str
    clients: U32
    client_ends: dict[Cause, U63]
    consoles: dict[State, U32]
    unheld: U32
    places: U32
    lag: U63
    tally: Tally
    counters: Counters
    threads: Threads
    journal_failing: U32
    journal_lag: U63
    loop_lag: float
    process: ProcessInfo
