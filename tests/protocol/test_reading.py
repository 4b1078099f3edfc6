"""`Console.expect`, `read` and the waits, against a scripted daemon on a real socket."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

import virtmux
from tests.harness.scripted_daemon import (
    AT,
    HANDLE,
    HISTORY,
    OTHER_HISTORY,
    Peer,
    ScriptedDaemon,
    place,
    playing,
    reason,
    waiting,
)
from virtmux.console import Console
from virtmux.matching import WINDOW
from virtmux.messages import Attach, Gap, InputStatus, MarkMessage, PlaceEnded
from virtmux.reasons import Cause
from virtmux.records import Break, Note, Position
from virtmux.wire import Input, Output, encode_output

DOWN = reason(Cause.GUEST_SHUTDOWN, will_retry=True)


@asynccontextmanager
async def at_console(
    daemon: ScriptedDaemon, script: Callable[[Peer], Coroutine[Any, Any, None]] | None = None
) -> AsyncIterator[Console]:
    """A place at an attached console, while the daemon plays its part and then waits for the client to leave."""

    async def play(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(place((await peer.expect(Attach)).id))
        if script is not None:
            await script(peer)
        await peer.gone()

    async with playing(daemon, play), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        yield console


class TestExpect:
    async def test_it_takes_the_records_up_to_the_match_and_leaves_the_rest(self, daemon: ScriptedDaemon) -> None:
        async def script(peer: Peer) -> None:
            peer.output(b"boot\r\nlog", at=0)
            peer.output(b"in: root\r\n", at=9)

        async with at_console(daemon, script) as console:
            match = await console.expect([b"panic", b"login: "], timeout=10)
            assert (match.index, match.match[0], match.before) == (1, b"login: ", b"boot\r\n")
            assert match.position == console.position == Position(HISTORY, 13, 1)
            assert await anext(console) == Output(HANDLE, 13, b"root\r\n")

    async def test_the_next_one_begins_behind_the_match(self, daemon: ScriptedDaemon) -> None:
        async def script(peer: Peer) -> None:
            peer.output(b"one two one two", at=0)

        async with at_console(daemon, script) as console:
            ends = [(await console.expect(b"one|two", timeout=10)).position.offset for _ in range(4)]
        assert ends == [3, 7, 11, 15]

    async def test_what_timed_out_stays_for_the_next_one_and_is_told(self, daemon: ScriptedDaemon) -> None:
        go_on = asyncio.Event()

        async def script(peer: Peer) -> None:
            peer.output(b"Password", at=0)
            await go_on.wait()
            peer.output(b": ", at=8)

        async with at_console(daemon, script) as console:
            await console.expect(b"Pass", timeout=10)
            with pytest.raises(virtmux.TimedOut, match=r"expected b'login: ' within 0.1 s; last seen: b'word'") as late:
                await console.expect(b"login: ", timeout=0.1)
            assert (late.value.seen, late.value.reason) == (b"word", None)
            assert isinstance(late.value, TimeoutError)
            assert console.position.offset == 4
            go_on.set()
            assert (await console.expect(b"word: ", timeout=10)).position.offset == 10

    async def test_long_output_that_does_not_match_is_taken(self, daemon: ScriptedDaemon) -> None:
        sizes = [1000] * 8 + [60000] * 64
        end = sum(sizes)
        taken_at: list[int] = []

        async def script(peer: Peer) -> None:
            for number, size in enumerate(sizes):
                await peer.pour(encode_output(HANDLE, sum(sizes[:number]), bytes(size)))
            await peer.pour(MarkMessage(HANDLE, end, 1, Note(AT, "paused")), encode_output(HANDLE, end, b"end"))

        async with at_console(daemon, script) as console:
            match = await console.expect(b"end", timeout=10, notice=lambda _: taken_at.append(console.position.offset))
            assert taken_at == [end - WINDOW]
            assert match.position.offset == end + 3
            assert 1048576 <= len(match.before) < 1200000

    async def test_an_end_is_its_reason_and_what_was_seen_last(self, daemon: ScriptedDaemon) -> None:
        async def script(peer: Peer) -> None:
            peer.output(b"Power down", at=0)
            peer.ended(1, DOWN, at=10)
            peer.attached(2, at=10)
            peer.output(b"login: ", at=10)

        async with at_console(daemon, script) as console:
            with pytest.raises(virtmux.ConsoleEnded) as ended:
                await console.expect(b"login: ", timeout=10)
            assert (ended.value.reason, ended.value.seen) == (DOWN, b"Power down")
            assert console.position == Position(HISTORY, 10, 2)
            assert (await console.expect(b"login: ", timeout=10)).before == b""

    async def test_a_match_begins_no_further_back_than_the_window(self, daemon: ScriptedDaemon) -> None:
        async def script(peer: Peer) -> None:
            peer.output(b"log", at=0)
            peer.output(b"in: ", at=3)
            peer.ended(1, DOWN, at=7)

        async with at_console(daemon, script) as console:
            with pytest.raises(virtmux.ConsoleEnded) as ended:
                await console.expect(b"login: ", timeout=10, window=2)
            assert ended.value.seen == b": "

    async def test_a_console_that_is_not_attached_yet_is_waited_for(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            peer.say(waiting((await peer.expect(Attach)).id, reason(Cause.GUEST_NOT_RUNNING)))
            peer.ended(1, reason(Cause.CONSOLE_BUSY), at=0, attachment=None)
            peer.attached(2, at=0)
            peer.output(b"login: ", at=0)
            await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            assert (await console.expect(b"login: ", timeout=10)).position.offset == 7

    async def test_unless_it_must_be_attached(self, daemon: ScriptedDaemon) -> None:
        why = reason(Cause.GUEST_NOT_RUNNING)

        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            asked = await peer.expect(Attach)
            peer.say(waiting(asked.id, why, position=f"{HISTORY}:0:1", end=f"{HISTORY}:10:1"))
            peer.output(b"Power down", at=0)
            await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            await console.expect(b"Power", timeout=10, must_be_attached=True)
            with pytest.raises(virtmux.ConsoleEnded) as ended:
                await console.expect(b"login: ", timeout=10, must_be_attached=True)
            assert (ended.value.reason, ended.value.seen) == (why, b" down")
            with pytest.raises(virtmux.TimedOut, match=r"within 0\.1 s: guest web1 is not running; last seen"):
                await console.expect(b"login: ", timeout=0.1)

    async def test_a_match_spans_a_note_and_a_resumed_connection(self, daemon: ScriptedDaemon) -> None:
        passed: list[object] = []

        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            peer.say(place((await peer.expect(Attach)).id))
            peer.mark(1, Note(AT, "paused"), at=0)
            peer.output(b"lo", at=0)
            peer.mark(2, Note(AT, "resumed"), at=2)
            peer.goodbye(reason(Cause.SERVER_STOPPING))
            daemon.stop()
            async with daemon:
                peer = await daemon.accept()
                asked = await peer.expect(Attach)
                assert asked.position == f"{HISTORY}:2:3"
                peer.say(place(asked.id, position=asked.position))
                peer.output(b"gin: ", at=2)
                await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            match = await console.expect(b"login: ", timeout=10, notice=lambda record: passed.append(type(record)))
            assert match.position == Position(HISTORY, 7, 3)
        assert passed == [virtmux.MarkMessage, virtmux.MarkMessage, virtmux.Disconnected, virtmux.Resumed]

    @pytest.mark.parametrize("between", ["gap", "break", "other history"])
    async def test_none_spans_what_may_be_missing(self, daemon: ScriptedDaemon, between: str) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            peer.say(place((await peer.expect(Attach)).id))
            peer.output(b"lo", at=0)
            if between == "gap":
                peer.say(Gap(HANDLE, 2, 1, 5, 1))
            elif between == "break":
                peer.mark(1, Break(AT, AT, AT), at=2)
            else:
                peer.close()
                peer = await daemon.accept()
                peer.say(place((await peer.expect(Attach)).id, position=f"{OTHER_HISTORY}:5:1", missing=True))
            peer.output(b"gin: login: ", at=2 if between == "break" else 5)
            await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            match = await console.expect(b"login: ", timeout=10)
        assert match.before == b"gin: "
        assert match.position.offset == (14 if between == "break" else 17)

    async def test_the_end_of_the_place_ends_it_and_each_one_after_it(self, daemon: ScriptedDaemon) -> None:
        evicted = reason(Cause.EVICTED)

        async def script(peer: Peer) -> None:
            peer.output(b"log", at=0)
            peer.say(PlaceEnded(HANDLE, evicted))

        async with at_console(daemon, script) as console:
            for seen in (b"log", b""):
                with pytest.raises(virtmux.ConsoleEnded) as ended:
                    await console.expect(b"x", timeout=10)
                assert (ended.value.reason, ended.value.seen) == (evicted, seen)

    async def test_what_is_written_while_it_waits_goes_to_the_opening_that_it_has_come_to(
        self, daemon: ScriptedDaemon
    ) -> None:
        async def script(peer: Peer) -> None:
            peer.output(b"log", at=0)
            peer.ended(1, DOWN, at=3)
            peer.attached(2, at=3, attachment=2)
            peer.output(b"log", at=3)
            assert (await peer.expect(Input)).attachment == 2
            peer.say(InputStatus(HANDLE, 2, accepted=1))
            peer.output(b"in", at=6)

        async with at_console(daemon, script) as console:
            with pytest.raises(virtmux.ConsoleEnded):
                await console.expect(b"login", timeout=10)
            async with asyncio.TaskGroup() as tasks:
                expecting = tasks.create_task(console.expect(b"login", timeout=10))
                while console.attachment != 2:
                    await asyncio.sleep(0)
                await console.write(b"\r")
            assert expecting.result().before == b""

    async def test_two_at_once_take_turns_and_an_iteration_beside_it_is_refused(self, daemon: ScriptedDaemon) -> None:
        go_on = asyncio.Event()

        async def script(peer: Peer) -> None:
            await go_on.wait()
            peer.output(b"one two", at=0)

        async with at_console(daemon, script) as console, asyncio.TaskGroup() as tasks:
            both = [tasks.create_task(console.expect(b"one|two", timeout=10)) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="is waiting for the records"):
                await anext(console)
            go_on.set()
            assert [(await each).match[0] for each in both] == [b"one", b"two"]


class TestRead:
    async def test_it_gives_bytes_as_they_are_there(self, daemon: ScriptedDaemon) -> None:
        async def script(peer: Peer) -> None:
            peer.output(b"abc", at=0)
            peer.mark(1, Note(AT, "paused"), at=3)
            peer.output(b"def", at=3)
            peer.ended(2, DOWN, at=6)

        async with at_console(daemon, script) as console:
            assert [await console.read(2, timeout=10) for _ in range(4)] == [b"ab", b"c", b"de", b"f"]
            with pytest.raises(virtmux.ConsoleEnded):
                await console.read(timeout=10)
            with pytest.raises(virtmux.TimedOut, match="nothing was said within 0 s: guest web1 shut down"):
                await console.read(timeout=0)

    async def test_what_was_looked_at_behind_them_is_left(self, daemon: ScriptedDaemon) -> None:
        async def script(peer: Peer) -> None:
            peer.output(b"abc", at=0)
            peer.mark(1, Note(AT, "paused"), at=3)

        def no_more(_: object) -> None:
            raise EOFError

        async with at_console(daemon, script) as console:
            with pytest.raises(EOFError):
                await console.expect(b"login: ", timeout=10, notice=no_more)
            assert await console.read(timeout=10) == b"abc"
            assert await anext(console) == MarkMessage(HANDLE, 3, 1, Note(AT, "paused"))


class TestWaiting:
    async def test_until_attached_takes_what_comes_before(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            peer.say(waiting((await peer.expect(Attach)).id, reason(Cause.GUEST_NOT_RUNNING)))
            peer.mark(1, Break(AT, AT, AT), at=0)
            peer.attached(2, at=0)
            peer.output(b"boot", at=0)
            await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            await console.until_attached(timeout=10)
            assert console.position == Position(HISTORY, 0, 3)
            await console.until_attached(timeout=0)

    async def test_a_wait_that_takes_too_long_says_why_nothing_is_attached_as_long_as_nothing_is(
        self, daemon: ScriptedDaemon
    ) -> None:
        go_on = asyncio.Event()

        async def script(peer: Peer) -> None:
            peer.output(b"login: ", at=0)
            peer.ended(1, DOWN, at=7)
            await go_on.wait()
            peer.attached(2, at=7)

        async with at_console(daemon, script) as console:
            await console.expect(b"login: ", timeout=10)
            await anext(console)
            with pytest.raises(virtmux.TimedOut) as late:
                await console.until_attached(timeout=0)
            assert str(late.value) == "the console was not attached within 0 s: guest web1 shut down"
            go_on.set()
            await console.until_attached(timeout=10)
            with pytest.raises(virtmux.TimedOut) as late:
                await console.read(timeout=0)
            assert str(late.value) == "nothing was said within 0 s"

    async def test_until_ended_gives_the_reason_that_counts(self, daemon: ScriptedDaemon) -> None:
        async def script(peer: Peer) -> None:
            peer.ended(1, reason(Cause.CONSOLE_TAKEN_OVER, will_retry=True), at=0)
            peer.attached(2, at=0)
            peer.ended(3, DOWN, at=0)

        async with at_console(daemon, script) as console:
            assert await console.until_ended(timeout=10, is_end=lambda why: why.exit_status == 10) == DOWN
            assert await console.until_ended(timeout=0) == DOWN
            with pytest.raises(virtmux.TimedOut, match=r"the console did not end within 0\.1 s"):
                await console.until_ended(timeout=0.1, is_end=lambda _: False)

    async def test_the_end_of_the_place_ends_every_wait_and_so_does_one_that_was_taken_before(
        self, daemon: ScriptedDaemon
    ) -> None:
        why = reason(Cause.EVICTED)

        async def script(daemon: ScriptedDaemon) -> None:
            for _ in range(2):
                peer = await daemon.accept()
                peer.say(waiting((await peer.expect(Attach)).id, reason(Cause.GUEST_NOT_RUNNING)))
                peer.say(PlaceEnded(HANDLE, why))
                await peer.gone()

        async with playing(daemon, script):
            for first, then in (("until_attached", "until_ended"), ("until_ended", "until_attached")):
                waits = {"until_ended": {"is_end": lambda _: False}, "until_attached": {}}
                async with virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
                    for name in (first, then):
                        with pytest.raises(virtmux.ConsoleEnded) as ended:
                            await getattr(console, name)(timeout=10, **waits[name])
                        assert ended.value.reason == why

    async def test_a_time_limit_of_the_applications_own_passes_through(self, daemon: ScriptedDaemon) -> None:
        async with at_console(daemon) as console:
            with pytest.raises(TimeoutError) as late:
                async with asyncio.timeout(0.05):
                    await console.read()
            assert not isinstance(late.value, virtmux.TimedOut)
            with pytest.raises(TimeoutError) as late:
                async with asyncio.timeout(0.05):
                    await console.read(timeout=10)
            assert not isinstance(late.value, virtmux.TimedOut)

    async def test_so_does_one_that_it_raises_while_something_is_expected(self, daemon: ScriptedDaemon) -> None:
        mine = TimeoutError("mine")

        def notice(_: object) -> None:
            raise mine

        async def script(peer: Peer) -> None:
            peer.mark(1, Note(AT, "paused"), at=0)

        async with at_console(daemon, script) as console:
            with pytest.raises(TimeoutError) as raised:
                await console.expect(b"login: ", timeout=10, notice=notice)
            assert raised.value is mine
