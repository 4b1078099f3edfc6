"""The fate of keystrokes: when it is found out."""

from tests.harness.consoles import Bench, always, held
from tests.harness.placed import evictable
from virtmuxd.core.inputs import SETTLE_FROM, Batch
from virtmuxd.core.place import Place


def type_some(bench: Bench, typist: Place, count: int) -> None:
    """Type some keystrokes, which are sent, each by itself."""
    for _ in range(count):
        bench.console.company.type(typist, 1, typist.writer.account.received, b"x")
        batch = bench.console.inputs.take()
        assert batch is not None
        assert not batch.fence
        bench.console.sent(batch, bench.tick())


def test_who_ceases_to_type_has_a_fence_asked_for_and_nobody_before() -> None:
    bench = held(always())
    typist, _ = evictable(bench)
    type_some(bench, typist, SETTLE_FROM - 1)
    assert bench.later == []

    type_some(bench, typist, 2)
    for _ in range(3):
        ((_, settle),) = bench.later
        bench.later.clear()
        type_some(bench, typist, 1)
        settle(bench.tick())
        assert not bench.console.inputs.waiting

    ((_, settle),) = bench.later
    bench.later.clear()
    settle(bench.tick())
    batch = bench.console.inputs.take()
    assert (batch, bench.later) == (Batch(1, (), fence=True), [])
    assert batch is not None
    bench.console.sent(batch, bench.tick())

    type_some(bench, typist, SETTLE_FROM)
    ((_, settle),) = bench.later
    settle(bench.tick())
    assert bench.console.inputs.waiting, "there was a pause since it was noticed"


def test_who_never_ceases_to_type_has_a_fence_now_and_then() -> None:
    bench = held(always())
    typist, _ = evictable(bench)
    type_some(bench, typist, SETTLE_FROM)
    looks = 0
    while not bench.console.inputs.waiting:
        ((_, settle),) = bench.later
        bench.later.clear()
        type_some(bench, typist, 1)
        settle(bench.tick())
        looks += 1
    assert looks == 10
    assert bench.later == []


def test_keystrokes_that_were_accepted_before_need_no_fence_any_more() -> None:
    bench = held(always())
    typist, _ = evictable(bench)
    type_some(bench, typist, SETTLE_FROM)
    bench.console.inputs.ask()
    batch = bench.console.inputs.take()
    assert batch is not None
    bench.console.sent(batch, bench.tick())

    ((_, settle),) = bench.later
    settle(bench.tick())

    assert (typist.writer.account.accepted, bench.console.inputs.waiting) == (SETTLE_FROM, False)
