"""Input at a console as a whole: it reaches the guest that it was meant for, and what it says of the attachment."""

from tests.harness.consoles import RUNNING_ID, SECOND, Consoles, always, held
from tests.harness.placed import place
from virtmux.reasons import Cause, LibvirtEvent
from virtmuxd.core.events import Elapsed, Opened, Paused, Resumed, Stopped, Timer, Up
from virtmuxd.core.inputs import BUDGET


def test_input_reaches_the_attachment_and_its_end_rejects_the_rest() -> None:
    bench = held(always())
    somebody = place(bench)
    bench.console.company.enter(somebody, bench.tick())

    bench.console.company.type(somebody, 1, 0, b"ls\r")
    assert bench.input_waits == 1
    bench.stop("CRASHED")

    account = somebody.writer.account
    assert (account.rejected, account.cause) == (3, Cause.GUEST_CRASHED)


def test_nothing_is_typed_into_a_stream_that_outlives_its_guest() -> None:
    """It may be one of another guest's terminal."""
    bench = held(always())
    somebody = place(bench)
    bench.console.company.enter(somebody, bench.tick())
    bench.console.company.type(somebody, 1, 0, b"ls\r")
    bench.happen(Stopped(bench.tick(), LibvirtEvent("STOPPED", "DESTROYED")))
    assert not bench.console.inputs.waiting
    bench.console.company.type(somebody, 1, 3, b"pwd\r")
    assert not bench.console.inputs.waiting

    bench.happen(Elapsed(bench.tick(), Timer.OUTLIVED))

    account = somebody.writer.account
    assert (account.rejected, account.cause) == (7, Cause.GUEST_DESTROYED)


def test_an_attachment_that_ends_as_it_begins_takes_no_input() -> None:
    bench = Consoles().add()
    bench.happen(Up(bench.tick(), RUNNING_ID))
    somebody = place(bench)
    bench.console.company.enter(somebody, bench.tick())
    bench.console.company.leave(somebody, bench.tick())
    bench.happen(Elapsed(bench.tick(), Timer.LINGER))
    assert bench.console.machine.state == "opening"
    bench.happen(Opened(bench.tick(), RUNNING_ID))
    assert bench.console.machine.state == "ending"
    assert bench.store.held_until == bench.now

    bench.console.company.enter(somebody, bench.tick())
    bench.console.company.type(somebody, 1, 0, b"ls\r")

    account = somebody.writer.account
    assert (account.rejected, account.cause) == (3, Cause.CONSOLE_RELEASED)


def test_input_waits_while_the_guest_is_paused_and_is_sent_once_it_goes_on() -> None:
    bench = held(always())
    somebody = place(bench)
    bench.console.company.enter(somebody, bench.tick())

    bench.happen(Paused(bench.tick()))
    bench.console.company.type(somebody, 1, 0, b"ls")
    waiting, told = [bench.console.inputs.waiting], bench.input_waits
    bench.happen(Resumed(bench.tick()))
    waiting.append(bench.console.inputs.waiting)

    assert (waiting, bench.input_waits) == ([False, True], told + 1)


def test_a_console_that_fell_silent_is_probed() -> None:
    bench = held(always())
    bench.output(b"x")
    bench.now += 60 * SECOND
    bench.happen(Elapsed(bench.now, Timer.PROBE))

    assert bench.input_waits == 1
    batch = bench.console.inputs.take()
    assert batch is not None
    assert (batch.packets, batch.fence) == ((), True)


def test_behind_a_shared_connection_the_guest_is_sent_as_much_as_it_says() -> None:
    bench = always().add()
    bench.happen(Up(bench.tick(), RUNNING_ID), Opened(bench.tick(), RUNNING_ID, shared=True))
    somebody = place(bench)
    bench.console.company.enter(somebody, bench.tick())
    bench.console.company.type(somebody, 1, 0, bytes(2 * BUDGET))
    while batch := bench.console.inputs.take():
        assert not batch.fence
        bench.console.sent(batch, bench.tick())

    bench.console.receive([b"abc", b"de"], bench.tick())

    batch = bench.console.inputs.take()
    assert batch is not None
    assert batch.packets == (bytes(5),)


def test_a_fence_that_is_answered_says_that_the_attachment_is_served() -> None:
    bench = held(always())
    attached_at = bench.now
    somebody = place(bench)
    bench.console.company.enter(somebody, bench.tick())
    silence = bench.console.machine.silence

    bench.console.company.type(somebody, 1, 0, b"a")
    batch = bench.console.inputs.take()
    assert batch is not None
    bench.console.sent(batch, bench.tick())
    assert silence.served_at == attached_at, "without a fence it does not"
    bench.console.company.confirm(somebody)
    fenced = bench.console.inputs.take()
    assert fenced is not None
    bench.console.sent(fenced._replace(attachment=0), bench.tick())
    assert silence.served_at == attached_at, "nor does one of another attachment"
    bench.console.sent(fenced, bench.tick())

    assert silence.served_at == bench.now
