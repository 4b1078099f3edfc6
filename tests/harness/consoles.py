"""Consoles without a hypervisor: the real core over a store in memory, whose commands a test reads and answers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from tests.harness.memory_store import MemoryStore
from virtmux import messages
from virtmux.backoff import Backoff
from virtmux.reasons import LibvirtEvent, Phase
from virtmuxd.core.console import Console
from virtmuxd.core.console_key import ConsoleKey, Naming
from virtmuxd.core.effects import Close, Command, Open
from virtmuxd.core.events import Cleaned, Event, Failed, Opened, Policy, Stopped, Timing, Up
from virtmuxd.core.evidence import Failure
from virtmuxd.core.later import Later
from virtmuxd.core.registry import Registry
from virtmuxd.core.store import Store

HYPERVISOR = "qemu/system/4a6b"
URI = "qemu:///system"
UUID = "5d3f9a5e-0000-4000-8000-000000000001"
OTHER_UUID = "5d3f9a5e-0000-4000-8000-000000000002"
#: Nanoseconds; one second, and the moment at which these tests begin.
SECOND = 10**9
START = 1_700_000_000 * SECOND
RUNNING_ID = 5


@dataclass
class Bench:
    """One console, and everything that it asked for and told."""

    console: Console
    store: MemoryStore
    commands: list[Command] = field(default_factory=list)
    told: list[messages.Event] = field(default_factory=list)
    #: What is to be called after so many seconds.
    later: list[tuple[float, Callable[[int], None]]] = field(default_factory=list)
    now: int = START
    input_waits: int = 0
    retired: bool = False
    departed: bool = False

    def happen(self, *events: Event) -> None:
        """Let these events happen."""
        for event in events:
            self.console.handle_event(event)

    def carry_out(self, command: Command) -> None:
        """What the console asks of its hypervisor side."""
        self.commands.append(command)

    def send_input(self) -> None:
        """Input waits; tests take it from `inputs`."""
        self.input_waits += 1

    def retire(self) -> None:
        """Nobody needs the console any more."""
        self.retired = True

    def depart(self) -> None:
        """The console goes on at another hypervisor."""
        self.departed = True

    def report_bug(self) -> None:
        """A bug in the core fails the test."""
        raise  # noqa: PLE0704  # called while the exception is handled

    def tick(self) -> int:
        """The time, a little later than it was."""
        self.now += SECOND
        return self.now

    def attach(self, running_id: int = RUNNING_ID) -> None:
        """The hypervisor answers, and what was asked to be opened is open."""
        self.happen(Up(self.tick(), running_id))
        self.answer_open(running_id)

    def answer_open(self, running_id: int = RUNNING_ID) -> None:
        """The opening that was asked for succeeds."""
        assert Open() in self.commands
        self.commands.clear()
        self.happen(Opened(self.tick(), running_id))

    def stop(self, detail: str = "DESTROYED") -> None:
        """The guest ends: first the stream says so, then libvirt; the stream is cleaned up."""
        self.happen(Failed(Failure(Phase.RECEIVE, self.tick())))
        self.happen(Stopped(self.tick(), LibvirtEvent("STOPPED", detail)))
        assert Close() in self.commands
        self.commands.clear()
        self.happen(Cleaned(self.tick()))

    def output(self, data: bytes) -> None:
        """The guest prints."""
        self.console.receive([data], self.tick())


def console_over(
    store: Store,
    key: ConsoleKey = ConsoleKey(HYPERVISOR, UUID, "serial0"),  # noqa: B008  # a tuple
    naming: Naming = Naming(URI, "web1", "pty", 1),  # noqa: B008
    handle: int = 1,
    *,
    policy: Policy = Policy.ON_DEMAND,
    tell: Callable[[messages.Event], None] = lambda _: None,
    relocate: Callable[[ConsoleKey, ConsoleKey], None] = lambda _, __: None,
    new_token: Callable[[], str] = lambda: "token",
    later: Later = lambda _, __: None,
) -> Console:
    """The core's console over any store."""
    timing, backoff = Timing(), Backoff(lambda: 0.0)
    return Console(
        key,
        naming,
        handle,
        store,
        policy=policy,
        timing=timing,
        backoff=backoff,
        tell=tell,
        relocate=relocate,
        new_token=new_token,
        later=later,
    )


class Consoles:
    """A registry, and benches for consoles in it."""

    def __init__(self, *, policy: Policy = Policy.ON_DEMAND, capacity: int = 1 << 20) -> None:
        self.registry = Registry()
        self.relocated: list[tuple[ConsoleKey, ConsoleKey]] = []
        self._policy = policy
        self._capacity = capacity
        self._numbers = count(1)
        self._tokens = count(1)

    def add(
        self,
        domain: str = "web1",
        *,
        device: str = "serial0",
        uuid: str = UUID,
        uri: str = URI,
        store: MemoryStore | None = None,
    ) -> Bench:
        """A console that has just appeared."""
        store = store or MemoryStore(self._capacity)
        told: list[messages.Event] = []
        later: list[tuple[float, Callable[[int], None]]] = []

        def tell(event: messages.Event) -> None:
            told.append(event)
            self.registry.tell(event)

        console = console_over(
            store,
            ConsoleKey(HYPERVISOR + uri, uuid, device),
            Naming(uri, domain, "pty", next(self._numbers)),
            self.registry.next_handle(),
            policy=self._policy,
            tell=tell,
            relocate=lambda former, key: self.relocated.append((former, key)),
            new_token=lambda: f"token {next(self._tokens)}",
            later=lambda seconds, call: later.append((seconds, call)),
        )
        bench = Bench(console, store, told=told, later=later)
        console.hold_by(bench)
        self.registry.add(console)
        console.appear(console.naming, START)
        return bench


def always(*, capacity: int = 1 << 20) -> Consoles:
    """Consoles that virtmux always holds."""
    return Consoles(policy=Policy.ALWAYS, capacity=capacity)


def held(consoles: Consoles, domain: str = "web1", *, uuid: str = UUID) -> Bench:
    """One more console, that is attached."""
    bench = consoles.add(domain, uuid=uuid)
    bench.attach()
    return bench
