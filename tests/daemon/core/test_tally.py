"""What is counted at a console fits what happened there."""

from msgspec.structs import asdict

from tests.harness.consoles import SECOND, START, Bench, Consoles, always, held
from tests.harness.placed import ALICE
from virtmux.messages import Tally
from virtmux.reasons import Cause, Phase, Reason
from virtmux.records import rfc3339
from virtmuxd.core.archive import Page
from virtmuxd.core.cursor import Cursor, Lag
from virtmuxd.core.events import Policy
from virtmuxd.core.place import Place
from virtmuxd.core.tally import total
from virtmuxd.core.writer import Writer


def enter(bench: Bench, *, lag: Lag | None = None) -> Place:
    """A client that comes in, and reads from where the records end."""
    position = bench.console.sequence.position
    cursor = Cursor(position.offset, position.mark, lambda: None, lag=lag)
    place = Place(cursor, Writer(lambda: None), lambda _reason: None, who=ALICE)
    bench.console.company.enter(place, bench.now)
    return place


def read(bench: Bench, place: Place) -> None:
    """It takes all there is."""
    while bench.console.sequence.take(place.cursor) is not None:
        pass


def counted(bench: Bench) -> dict[str, float]:
    """What is not 0."""
    return {name: number for name, number in asdict(bench.console.tally.now()).items() if number}


def test_output_counts_from_where_the_daemon_found_the_console_and_once_for_each_client_that_got_it() -> None:
    before = held(always())
    before.output(b"of a former daemon")
    bench = Consoles(policy=Policy.ALWAYS).add(store=before.store.reopened())
    assert counted(bench) == {}

    places = [enter(bench), enter(bench)]
    bench.output(b"hello")
    read(bench, places[0])
    assert counted(bench) == {"output": 5, "delivered": 5}
    read(bench, places[1])
    assert counted(bench) == {"output": 5, "delivered": 10}


def test_who_begins_with_what_was_is_given_that_too() -> None:
    bench = held(always())
    bench.output(b"was")
    place = enter(bench)
    place.cursor.begin(1, place.cursor.mark)
    read(bench, place)
    assert counted(bench) == {"attachments": 1, "output": 3, "delivered": 2}


def test_what_was_given_stays_counted_when_its_client_has_left() -> None:
    bench = held(always())
    place = enter(bench)
    bench.output(b"hello")
    read(bench, place)
    bench.console.company.leave(place, bench.now)
    bench.output(b"!")
    assert counted(bench) == {"attachments": 1, "output": 6, "delivered": 5}


def test_what_is_no_longer_held_is_a_gap_and_not_delivered() -> None:
    bench = held(always(capacity=4))
    place = enter(bench)
    bench.output(b"0123456789")
    read(bench, place)
    assert counted(bench) == {"attachments": 1, "output": 10, "delivered": 4, "gaps": 1, "gap_bytes": 6}


def test_so_is_a_gap_out_of_the_archive() -> None:
    bench = held(always())
    bench.output(b"0123456789")
    place = enter(bench)
    place.cursor.begin(0, place.cursor.mark)
    place.cursor.pages.extend([Page(b"", 6, 2, is_gap=True), Page(b"", 8, 2)])
    read(bench, place)
    assert counted(bench) == {"attachments": 1, "output": 10, "delivered": 4, "gaps": 1, "gap_bytes": 6}


def test_a_place_lags_by_what_came_while_it_was_there() -> None:
    bench = held(always())
    bench.output(b"was")
    place = enter(bench)
    place.cursor.begin(0, place.cursor.mark)
    assert bench.console.company.lag == 0
    bench.output(b"hello")
    assert bench.console.company.lag == 5
    enter(bench)
    assert bench.console.company.lag == 5
    read(bench, place)
    assert bench.console.company.lag == 0


def test_a_break_counts_with_its_length_when_it_is_over() -> None:
    bench = held(always())
    bench.stop()
    assert counted(bench) == {"attachments": 1}
    before = held(always())
    bench = Consoles(policy=Policy.ALWAYS).add(store=before.store.reopened())
    bench.now = before.now + 10 * SECOND
    bench.attach()
    since = bench.now - before.now
    assert counted(bench) == {"attachments": 1, "breaks": 1, "break_seconds": since / SECOND}


def test_input_counts_by_its_fate() -> None:
    bench = held(always())
    place = enter(bench)
    bench.console.company.type(place, 1, 0, b"accepted")
    batch = bench.console.inputs.take()
    assert batch is not None
    bench.console.sent(batch, bench.now)
    bench.console.company.confirm(place)
    fence = bench.console.inputs.take()
    assert fence is not None
    bench.console.sent(fence, bench.now)
    assert counted(bench) == {"attachments": 1, "accepted": 8}

    bench.console.company.type(place, 1, 8, b"sent")
    bench.console.inputs.take()
    bench.console.company.type(place, 1, 12, b"queued")
    bench.stop()
    assert counted(bench) == {"attachments": 1, "accepted": 8, "unknown": 4, "rejected": 6}


def test_a_place_that_is_taken_away_counts() -> None:
    bench = held(always())
    place = enter(bench)
    slow = Reason(cause=Cause.TOO_SLOW, text="", phase=Phase.SERVER, at=rfc3339(START))
    bench.console.company.evict(place, slow, bench.now)
    bench.console.company.evict(place, slow, bench.now)
    assert counted(bench) == {"attachments": 1, "evictions": 1}


def test_settled_it_begins_again_and_closed_it_stays() -> None:
    bench = held(always())
    bench.output(b"hello")
    settled = bench.console.tally.settle()
    assert (settled.attachments, settled.output) == (1, 5)
    assert counted(bench) == {}
    bench.output(b"on")
    bench.console.close(bench.now)
    del bench.console.tally._sequence  # what it was derived from is gone
    assert counted(bench) == {"output": 2}
    assert bench.console.tally.settle().output == 2
    assert counted(bench) == {}


def test_tallies_are_added_field_by_field() -> None:
    assert total([]) == Tally()
    assert total([Tally(output=1, break_seconds=0.5), Tally(output=2, gaps=3)]) == Tally(
        output=3, break_seconds=0.5, gaps=3
    )
