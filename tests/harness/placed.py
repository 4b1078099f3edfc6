"""Places at a console that nobody reads from, for tests of who is there and of what is typed."""

from tests.harness.consoles import Bench
from virtmux.people import Person
from virtmux.reasons import Reason
from virtmuxd.core.cursor import Cursor
from virtmuxd.core.place import Place
from virtmuxd.core.writer import Writer

ALICE = Person(1, "alice", 1000, 4711)


def place(bench: Bench) -> Place:
    """A place that nobody takes away."""
    position = bench.console.sequence.position
    return Place(Cursor(position.offset, position.mark, unheard), Writer(unheard), not_evicted, who=ALICE)


def evictable(bench: Bench) -> tuple[Place, list[Reason]]:
    """Somebody who has come in, and the reasons why the place was taken away."""
    ended: list[Reason] = []
    position = bench.console.sequence.position
    each = Place(Cursor(position.offset, position.mark, unheard), Writer(unheard), ended.append, who=ALICE)
    bench.console.company.enter(each, bench.tick())
    return each, ended


def not_evicted(reason: Reason) -> None:
    """Where nobody is to be sent away."""
    raise AssertionError(reason)


def unheard() -> None:
    """These places only count."""
