"""The input of a place against a scripted daemon: on its way, and its fate."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest

import virtmux
from tests.harness.scripted_daemon import (
    AT,
    CONSOLE,
    HANDLE,
    HISTORY,
    Peer,
    ScriptedDaemon,
    attached,
    place,
    playing,
    reason,
    taken,
    waiting,
)
from virtmux.following import Disconnected, Resumed
from virtmux.ledger import InputState
from virtmux.messages import Attach, Confirm, Done, InputStatus, Limits, ListConsoles, State
from virtmux.reasons import Cause, Phase
from virtmux.records import Break
from virtmux.wire import MAX_INPUT, Input


async def accept(peer: Peer, pieces: Sequence[int]) -> bytes:
    """Take input frames of exactly these sizes, and accept them."""
    data = b""
    for size in pieces:
        frame = await peer.expect(Input)
        assert (frame.attachment, frame.input_offset, len(frame.data)) == (1, len(data), size)
        data += frame.data
        peer.say(InputStatus(HANDLE, 1, accepted=len(data)))
    return data


@pytest.mark.parametrize(("limit", "pieces"), [(MAX_INPUT - 1, [16383, 3617, 2]), (MAX_INPUT + 1, [16384, 3616, 2])])
async def test_it_is_split_and_returns_when_all_is_taken(tmp_path: Path, limit: int, pieces: Sequence[int]) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        assert await accept(peer, pieces) == bytes(20000) + b"ls"
        await peer.gone()

    daemon = ScriptedDaemon(tmp_path / "s", limits=Limits(input=limit))
    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        await console.write(bytes(20000))
        await console.write(b"ls")
        await console.write(b"")


async def test_no_more_than_the_window_is_under_way(tmp_path: Path) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        assert await peer.expect_input(100) == bytes(100)
        peer.say(Done((await peer.expect(ListConsoles)).id))
        peer.say(InputStatus(HANDLE, 1, accepted=60))
        assert await peer.expect_input(60) == bytes(60)
        peer.say(InputStatus(HANDLE, 1, accepted=160))
        assert await peer.expect_input(90) == bytes(90)
        peer.say(InputStatus(HANDLE, 1, accepted=250))
        await peer.gone()

    daemon = ScriptedDaemon(tmp_path / "s", limits=Limits(input_window=100))
    async with (
        playing(daemon, script),
        virtmux.connect(daemon.path) as mux,
        mux.attach("web1") as console,
        asyncio.TaskGroup() as tasks,
    ):
        writing = tasks.create_task(console.write(bytes(250)))
        await asyncio.sleep(0)  # let it begin
        await mux.consoles()
        assert not writing.done()


async def test_its_fate_is_asked_for_behind_the_last_byte_and_where_the_window_is_full(tmp_path: Path) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        assert await peer.expect_input(100) == bytes(100)
        assert await peer.hear() == Confirm(HANDLE)
        peer.say(InputStatus(HANDLE, 1, accepted=100))
        assert await peer.expect_input(50) == bytes(50)
        assert await peer.hear() == Confirm(HANDLE)
        peer.say(InputStatus(HANDLE, 1, accepted=150))
        await peer.gone()

    daemon = ScriptedDaemon(tmp_path / "s", limits=Limits(input_window=100))
    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        await console.write(bytes(150))


async def test_what_is_only_sent_is_not_waited_for(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        for key in (b"l", b"s"):
            heard = await peer.hear()
            assert isinstance(heard, Input)
            assert heard.data == key
        peer.say(Done((await peer.expect(ListConsoles)).id))
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        none = console.input
        assert none is None
        await console.send(b"l")
        await console.send(b"s")
        assert console.input == InputState(1, accepted=0, waiting=2)
        await mux.consoles()


async def test_what_follows_input_that_was_not_taken_is_not_sent(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        await peer.expect(Input)
        peer.say(InputStatus(HANDLE, 1, accepted=0, rejected=1, cause=Cause.EVICTED))
        peer.say(Done((await peer.expect(ListConsoles)).id))
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        await console.send(b"l")
        await mux.consoles()
        with pytest.raises(virtmux.InputRejected) as caught:
            await console.send(b"ong")
        assert (caught.value.rejected, caught.value.reason.cause) == (3, Cause.EVICTED)
        assert console.input == InputState(1, 0, rejected=4, cause=Cause.EVICTED)


async def test_how_it_fares_is_told_as_it_changes_also_of_a_former_attachment(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        await peer.expect_input(5)
        peer.say(InputStatus(HANDLE, 1, accepted=2, held=True))
        peer.mark(1, Break(AT, AT, AT), at=0)
        peer.attached(2, at=0, attachment=2)
        assert await peer.expect_input(1) == b"n"
        ended = InputStatus(HANDLE, 1, accepted=2, unknown=1, rejected=2, cause=Cause.STREAM_ENDED)
        peer.say(InputStatus(HANDLE, 2, accepted=1), InputStatus(HANDLE, 1, accepted=2), ended)
        peer.close()

    async with (
        playing(daemon, script),
        virtmux.connect(daemon.path, reconnect_for=0) as mux,
        mux.attach("web1") as console,
        contextlib.aclosing(console.input_states()) as states,
    ):
        await console.send(b"typed")
        assert await anext(states) == InputState(1, 2, waiting=3, held=True)
        await taken(console, 2)
        await console.send(b"n")
        assert await anext(states) == InputState(2, accepted=1)
        assert await anext(states) == InputState(1, 2, unknown=1, rejected=2, cause=Cause.STREAM_ENDED)
        with pytest.raises(virtmux.ConnectionLost):
            await mux.consoles()
        assert console.input is None


async def test_what_was_rejected_is_counted_from_its_own_start(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        await accept(peer, [3])
        await peer.expect(Input)
        peer.say(InputStatus(HANDLE, 1, 5, unknown=1, rejected=4, cause=Cause.GUEST_DESTROYED))
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        await console.write(b"abc")
        with pytest.raises(virtmux.InputRejected) as caught:
            await console.write(b"defghij")
    error = caught.value
    assert (error.accepted, error.unknown, error.rejected) == (2, 1, 4)
    why = error.reason
    assert (why.cause, why.phase, why.console) == (Cause.GUEST_DESTROYED, Phase.SEND, CONSOLE)


async def test_what_is_refused_again_has_its_fate_though_the_daemon_has_not_begun_to_count_anew(
    daemon: ScriptedDaemon,
) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        await peer.expect_input(3)
        peer.say(InputStatus(HANDLE, 1, accepted=1, rejected=2, cause=Cause.ACCESS_DENIED))
        await peer.expect_input(2)
        peer.say(InputStatus(HANDLE, 1, accepted=1, rejected=4, cause=Cause.ACCESS_DENIED))
        typed = await peer.expect(Input)
        assert (typed.input_offset, typed.data) == (5, b"now")
        peer.say(InputStatus(HANDLE, 1, accepted=3, base=5))
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        for data, accepted in ((b"abc", 1), (b"de", 0)):
            with pytest.raises(virtmux.InputRejected) as caught:
                await console.write(data)
            assert (caught.value.accepted, caught.value.rejected) == (accepted, 2)
            assert caught.value.reason.cause is Cause.ACCESS_DENIED
        await console.write(b"now")


async def test_with_a_lost_connection_the_fate_is_unknown(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        await accept(peer, [16384])
        await peer.expect(Input)
        daemon.stop()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        with pytest.raises(virtmux.InputRejected) as caught:
            await console.write(bytes(20000))
        assert (caught.value.accepted, caught.value.unknown, caught.value.rejected) == (16384, 3616, 0)
        with pytest.raises(virtmux.NotAttached) as again:
            await console.write(b"x")
        assert again.value.reason.cause is Cause.SERVER_LOST


async def test_it_goes_nowhere_until_the_reader_has_come_behind_the_last_loss(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        for _ in range(2):
            (await attached(daemon)).close()
        peer = await daemon.accept()
        peer.say(place((await peer.expect(Attach)).id, console=9), Done((await peer.expect(ListConsoles)).id))
        typed = await peer.expect(Input)
        assert (typed.console, typed.data) == (9, b"now")
        peer.say(InputStatus(9, 1, accepted=3))
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        await mux.consoles()
        assert [type(record) for record in await taken(console, 2)] == [Disconnected, Resumed]
        with pytest.raises(virtmux.NotAttached) as caught:
            await console.write(b"early")
        assert caught.value.reason.cause is Cause.SERVER_LOST
        await taken(console, 2)
        await console.write(b"now")


async def test_it_goes_to_the_attachment_that_the_reader_has_come_to(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        peer.ended(1, reason(Cause.STREAM_ENDED), at=0)
        peer.attached(2, at=0, attachment=2)
        peer.say(Done((await peer.expect(ListConsoles)).id))
        typed = await peer.expect(Input)
        assert (typed.attachment, typed.data) == (1, b"old")
        peer.say(InputStatus(HANDLE, 1, accepted=0, rejected=3, cause=Cause.STREAM_ENDED))
        typed = await peer.expect(Input)
        assert (typed.attachment, typed.input_offset, typed.data) == (2, 0, b"new")
        peer.say(InputStatus(HANDLE, 2, accepted=3))
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        await mux.consoles()
        with pytest.raises(virtmux.InputRejected):
            await console.write(b"old")
        await taken(console, 1)
        with pytest.raises(virtmux.NotAttached) as caught:
            await console.write(b"between")
        assert caught.value.reason.cause is Cause.STREAM_ENDED
        await taken(console, 1)
        await console.write(b"new")


async def test_replayed_marks_do_not_say_what_is_attached_now(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Attach)
        peer.say(place(asked.id, position=f"{HISTORY}:0:1", end=f"{HISTORY}:0:3", attachment=4))
        peer.attached(1, at=0, attachment=9)
        peer.ended(2, reason(Cause.GUEST_SHUTDOWN), at=0, attachment=9)
        typed = await peer.expect(Input)
        assert typed.attachment == 4
        peer.say(InputStatus(HANDLE, 4, accepted=1))
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        await taken(console, 2)
        await console.write(b"x")


async def test_a_console_that_waits_takes_none(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(waiting((await peer.expect(Attach)).id, reason(Cause.GUEST_NOT_RUNNING)))
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        assert console.attachment is None
        with pytest.raises(virtmux.NotAttached) as caught:
            await console.write(b"x")
        assert caught.value.reason.cause is Cause.GUEST_NOT_RUNNING


async def test_a_place_at_what_is_only_stored_takes_none(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(place((await peer.expect(Attach)).id, state=State.ABSENT, attachment=None))
        await peer.gone()

    async with (
        playing(daemon, script),
        virtmux.connect(daemon.path) as mux,
        mux.attach("web1", position=f"{HISTORY}:0:1", hold=False) as console,
    ):
        with pytest.raises(virtmux.NotAttached) as caught:
            await console.write(b"x")
        assert (caught.value.reason.cause, caught.value.reason.console) == (Cause.STREAM_ENDED, CONSOLE)


async def test_a_read_only_place_refuses_it(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Attach)
        assert asked.read_only
        peer.say(place(asked.id, read_only=True))
        await peer.gone()

    async with (
        playing(daemon, script),
        virtmux.connect(daemon.path) as mux,
        mux.attach("web1", read_only=True) as console,
    ):
        with pytest.raises(virtmux.Refused) as caught:
            await console.write(b"x")
        assert caught.value.reason.cause is Cause.ACCESS_DENIED


async def test_a_word_on_an_attachment_that_was_given_none_is_passed_over(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        await peer.expect_input(2)
        peer.say(InputStatus(HANDLE, 9, accepted=5), InputStatus(HANDLE, 1, accepted=2))
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        await console.write(b"ls")
        assert console.input == InputState(1, accepted=2)
