"""The asyncio client against a scripted daemon on a real socket."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

import virtmux
from tests.harness.scripted_daemon import (
    AT,
    CONSOLE,
    HANDLE,
    HISTORY,
    MEASURED,
    OTHER_HISTORY,
    Peer,
    ScriptedDaemon,
    console_info,
    hypervisor_info,
    place,
    playing,
    reason,
    waiting,
)
from virtmux.console import MOST_UNREAD, PAUSE_ABOVE, Console
from virtmux.features import Feature
from virtmux.following import Disconnected, Reconnected, Record, Resumed
from virtmux.ledger import InputState
from virtmux.messages import (
    Attach,
    Company,
    Confirm,
    Detach,
    Done,
    Event,
    Flow,
    Gap,
    Guest,
    Hypervisor,
    InputStatus,
    Limits,
    ListConsoles,
    MarkMessage,
    MetricsText,
    OpenMetrics,
    PlaceEnded,
    Reclaim,
    Refused,
    Release,
    RoleChanged,
    StatisticsMessage,
    Status,
    Watch,
)
from virtmux.messages import (
    Console as ConsoleMessage,
)
from virtmux.people import Companion, Person, Role
from virtmux.reasons import Cause
from virtmux.records import Attached, Break, Position
from virtmux.wire import Input, Output, encode_output


@pytest.fixture
def daemon(tmp_path: Path) -> ScriptedDaemon:
    return ScriptedDaemon(tmp_path / "virtmux.sock")


async def taken(console: Console, count: int) -> list[Record]:
    """The next `count` records."""
    return [await anext(console) for _ in range(count)]


async def attached(daemon: ScriptedDaemon) -> Peer:
    """A client that has attached and got a place at the end of an empty history."""
    peer = await daemon.accept()
    peer.say(place((await peer.expect(Attach)).id))
    return peer


class TestFindingTheDaemon:
    async def test_no_daemon_is_named_with_the_socket(self, tmp_path: Path) -> None:
        path = tmp_path / "none.sock"
        with pytest.raises(virtmux.ConnectionLost, match=f"{path}: No such file") as caught:
            async with virtmux.connect(path):
                pass
        assert caught.value.reason.cause is Cause.SERVER_LOST

    async def test_a_goodbye_instead_of_a_greeting_is_the_reason(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            (await daemon.accept(greet=False)).goodbye(reason(Cause.EVICTED))

        async with playing(daemon, script):
            with pytest.raises(virtmux.ConnectionLost) as caught:
                async with virtmux.connect(daemon.path):
                    pass
        assert caught.value.reason.cause is Cause.EVICTED

    async def test_a_daemon_may_greet_after_the_client_as_well(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept(greet=False)
            daemon.greet(peer)
            peer.say(Done((await peer.expect(ListConsoles)).id))

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
            assert await mux.consoles() == []

    async def test_a_client_that_was_not_entered_says_so(self, daemon: ScriptedDaemon) -> None:
        with pytest.raises(RuntimeError, match="async with"):
            await virtmux.connect(daemon.path).consoles()

    async def test_the_applications_own_error_passes_unwrapped(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            await (await daemon.accept()).gone()

        async with playing(daemon, script):
            with pytest.raises(ZeroDivisionError):
                async with virtmux.connect(daemon.path):
                    raise ZeroDivisionError


async def lets_go(daemon: ScriptedDaemon) -> Peer:
    """A client that has asked to have a console released while it is connected, and was answered."""
    peer = await daemon.accept()
    asked = await peer.expect(Release)
    assert asked == Release(asked.id, "web1", while_connected=True)
    peer.say(Done(asked.id))
    return peer


class TestRequests:
    async def test_consoles_are_listed(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            asked = await peer.expect(ListConsoles)
            peer.say(ConsoleMessage(asked.id, console_info()), ConsoleMessage(asked.id, console_info(console=8)))
            peer.say(Done(asked.id))

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
            assert [info.console for info in await mux.consoles()] == [7, 8]

    async def test_with_their_hypervisors_in_one_answer(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            asked = await peer.expect(ListConsoles)
            peer.say(Hypervisor(asked.id, hypervisor_info()), ConsoleMessage(asked.id, console_info()), Done(asked.id))

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
            assert await mux.inventory() == ([hypervisor_info()], [console_info()])

    async def test_a_release_is_done_once_the_console_is_let_go(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            asked = await peer.expect(Release)
            assert asked == Release(asked.id, "web1", "serial0", "qemu:///system", 90)
            peer.say(Refused(asked.id, reason(Cause.HYPERVISOR_TIMEOUT)))
            reclaimed = await peer.expect(Reclaim)
            assert reclaimed == Reclaim(reclaimed.id, "web1", "serial0")
            peer.say(Done(reclaimed.id))

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
            with pytest.raises(virtmux.Refused) as caught:
                await mux.release("web1", "serial0", uri="qemu:///system", seconds=90)
            assert caught.value.reason.cause is Cause.HYPERVISOR_TIMEOUT
            await mux.reclaim("web1", "serial0")

    async def test_a_release_for_a_while_is_asked_for_anew_after_a_lost_connection(
        self, daemon: ScriptedDaemon
    ) -> None:
        again = asyncio.Event()

        async def script(daemon: ScriptedDaemon) -> None:
            (await lets_go(daemon)).close()
            peer = await lets_go(daemon)
            again.set()
            peer.say(Done((await peer.expect(ListConsoles)).id))
            reclaimed = await peer.expect(Reclaim)
            assert reclaimed == Reclaim(reclaimed.id, "web1", while_connected=True)
            await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.released("web1"):
            await again.wait()
            await mux.consoles()

    async def test_a_release_that_was_refused_gives_no_other_one_back(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await lets_go(daemon)
            peer.say(Refused((await peer.expect(Release)).id, reason(Cause.HYPERVISOR_TIMEOUT)))
            peer.say(Done((await peer.expect(ListConsoles)).id))
            await peer.expect(Reclaim)
            await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.released("web1"):
            with pytest.raises(virtmux.Refused):
                async with mux.released("web1"):
                    pass
            await mux.consoles()

    async def test_a_release_that_nobody_waits_for_any_more_is_given_back(self, daemon: ScriptedDaemon) -> None:
        asked = asyncio.Event()

        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            await peer.expect(Release)
            asked.set()
            await peer.expect(Reclaim)
            await peer.gone()

        async def release(mux: virtmux.Client) -> None:
            async with mux.released("web1"):
                pass

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, asyncio.TaskGroup() as tasks:
            releasing = tasks.create_task(release(mux))
            await asked.wait()
            releasing.cancel()

    async def test_after_a_migration_a_console_is_asked_for_where_it_goes_on(self, daemon: ScriptedDaemon) -> None:
        there = "qemu+ssh://b/system"

        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            peer.ended(1, reason(Cause.GUEST_MIGRATED, will_retry=True, moved_to=there), at=0)
            peer.attached(2, at=0)
            peer.close()
            peer = await daemon.accept()
            asked = await peer.expect(Attach)
            assert (asked.domain, asked.uri) == (CONSOLE.uuid, there)
            peer.say(place(asked.id, position=asked.position))
            await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            *_, last = await taken(console, 4)
            assert isinstance(last, Resumed)

    async def test_a_request_survives_a_lost_connection(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            await peer.expect(ListConsoles)
            peer.close()
            peer = await daemon.accept()
            peer.say(Done((await peer.expect(ListConsoles)).id))

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
            assert await mux.consoles() == []

    async def test_a_missing_console_is_refused_and_the_connection_goes_on(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            asked = await peer.expect(Attach)
            assert (asked.domain, asked.device, asked.uri, asked.position) == ("web9", "serial1", "qemu:///x", "12")
            peer.say(Refused(asked.id, reason(Cause.CONSOLE_MISSING)))
            peer.say(Done((await peer.expect(ListConsoles)).id))

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
            with pytest.raises(virtmux.Refused) as caught:
                async with mux.attach("web9", "serial1", uri="qemu:///x", position="12"):
                    pass
            assert caught.value.reason.cause is Cause.CONSOLE_MISSING
            await mux.consoles()

    @pytest.mark.parametrize("name", ["\udcff", "x" * 1025], ids=["not-unicode", "too-long"])
    async def test_a_name_that_cannot_be_sent_is_the_callers_error(self, daemon: ScriptedDaemon, name: str) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            peer.say(Done((await peer.expect(ListConsoles)).id))

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
            with pytest.raises(ValueError, match=r"not UTF-8|at most 1024"):
                async with mux.attach(name):
                    pass
            await mux.consoles()

    async def test_leaving_a_place_detaches_and_drops_what_still_comes(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            asked = await peer.expect(Detach)
            assert asked.console == HANDLE
            peer.output(b"late", at=0)
            peer.say(Done(asked.id))
            peer.say(place((await peer.expect(Attach)).id, position=f"{HISTORY}:4:1"))
            peer.output(b"new", at=4)
            await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
            async with mux.attach("web1"):
                pass
            async with mux.attach("web1") as console:
                assert await taken(console, 1) == [Output(HANDLE, 4, b"new")]

    async def test_a_place_that_nobody_waits_for_any_more_is_given_back(self, daemon: ScriptedDaemon) -> None:
        asked = asyncio.Event()

        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            request = await peer.expect(Attach)
            asked.set()
            await peer.expect(ListConsoles)
            peer.say(place(request.id))
            detach = await peer.expect(Detach)
            peer.say(Done(detach.id), Done(2))

        async def attach(mux: virtmux.Client) -> None:
            async with mux.attach("web1"):
                pass

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, asyncio.TaskGroup() as tasks:
            attaching = tasks.create_task(attach(mux))
            await asked.wait()
            attaching.cancel()
            await mux.consoles()

    async def test_what_is_larger_than_the_daemon_takes_is_refused_and_not_sent(self, tmp_path: Path) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            peer.say(Done((await peer.expect(ListConsoles)).id))
            await peer.gone()

        daemon = ScriptedDaemon(tmp_path / "s", limits=Limits(message=4096))
        async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
            with pytest.raises(virtmux.Refused, match="takes 4096 at most"):
                await mux.release("\N{WATCH}" * 1024, "\N{WATCH}" * 1024)
            await mux.consoles()


class TestRecords:
    async def test_records_come_in_order_and_the_position_follows_what_was_taken(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            peer.output(b"one", at=0)
            peer.attached(1, at=3, attachment=1)
            peer.say(Gap(HANDLE, 3, 2, 10, 5))
            peer.say(PlaceEnded(HANDLE, reason(Cause.EVICTED)))
            await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            records, positions = [], [str(console.position)]
            async for record in console:
                records.append(record)
                positions.append(str(console.position))
        assert records == [
            Output(HANDLE, 0, b"one"),
            MarkMessage(HANDLE, 3, 1, Attached(AT, 1, 1)),
            Gap(HANDLE, 3, 2, 10, 5),
            PlaceEnded(HANDLE, reason(Cause.EVICTED)),
        ]
        assert positions == [f"{HISTORY}:{rest}" for rest in ("0:1", "3:1", "3:2", "10:5", "10:5")]

    async def test_a_console_that_is_not_read_is_paused_and_goes_on_when_it_is(self, daemon: ScriptedDaemon) -> None:
        count = PAUSE_ABOVE // 65536 + 1

        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            for index in range(count):
                await peer.pour(encode_output(HANDLE, index * 65536, bytes(65536)))
            heard = [await peer.hear(), await peer.hear()]
            assert Flow(HANDLE, paused=True) in heard
            peer.say(*(Done(asked.id) for asked in heard if isinstance(asked, ListConsoles)))
            assert await peer.expect(Flow) == Flow(HANDLE, paused=False)
            await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            await mux.consoles()
            assert len(await taken(console, count)) == count

    async def test_a_daemon_that_does_not_hold_back_breaks_the_protocol(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            with contextlib.suppress(OSError):
                for index in range(2 * MOST_UNREAD // 65536):
                    await peer.pour(encode_output(HANDLE, index * 65536, bytes(65536)))
            peer.close()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            with pytest.raises(virtmux.ConnectionLost) as caught:
                await mux.consoles()
            assert caught.value.reason.cause is Cause.PROTOCOL_ERROR
            *_, last = [record async for record in console]
            assert isinstance(last, PlaceEnded)

    async def test_broken_protocol_ends_every_place_with_its_reason(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            peer.output(b"x", at=99)
            await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            [last] = [record async for record in console]
            assert isinstance(last, PlaceEnded)
            assert last.reason.cause is Cause.PROTOCOL_ERROR
            with pytest.raises(virtmux.ConnectionLost):
                await mux.consoles()


class TestReconnecting:
    async def test_nothing_twice_and_nothing_missing_over_a_daemons_restart(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            peer.output(b"abc", at=0)
            peer.attached(1, at=3)
            daemon.stop()
            async with daemon:
                peer = await daemon.accept()
                asked = await peer.expect(Attach)
                assert (asked.domain, asked.device, asked.uri) == (CONSOLE.uuid, CONSOLE.device, CONSOLE.uri)
                assert asked.position == f"{HISTORY}:3:2"
                peer.say(place(asked.id, console=1, position=asked.position))
                peer.output(b"def", at=3, handle=1)
                await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            records = await taken(console, 5)
        assert b"".join(record.data for record in records if isinstance(record, Output)) == b"abcdef"
        lost, resumed = records[2:4]
        assert isinstance(lost, Disconnected)
        assert (lost.reason.cause, lost.reason.offset, lost.reason.console) == (Cause.SERVER_LOST, 3, CONSOLE)
        assert lost.reason.retry.will_retry
        assert isinstance(resumed, Resumed)
        assert resumed.continuous

    async def test_the_proof_of_the_place_goes_with_the_position(self, daemon: ScriptedDaemon) -> None:
        proofs: list[str | None] = []

        async def script(daemon: ScriptedDaemon) -> None:
            for proof in ("1:1:ab", "1:1:cd", None):
                peer = await daemon.accept()
                asked = await peer.expect(Attach)
                proofs.append(asked.proof)
                peer.say(place(asked.id, position=f"{HISTORY}:0:1", proof=proof))
                if proof is None:
                    await peer.gone()
                else:
                    peer.close()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            await taken(console, 4)
        assert proofs == [None, "1:1:ab", "1:1:cd"]

    async def test_another_history_is_named(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            (await attached(daemon)).goodbye(reason(Cause.SERVER_STOPPING))
            peer = await daemon.accept()
            asked = await peer.expect(Attach)
            peer.say(place(asked.id, position=f"{OTHER_HISTORY}:0:1", missing=True))
            await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            lost, resumed = await taken(console, 2)
            assert isinstance(lost, Disconnected)
            assert lost.reason.cause is Cause.SERVER_STOPPING
            assert isinstance(resumed, Resumed)
            assert not resumed.continuous
            assert resumed.asked == Position(HISTORY, 0, 1)
            assert console.position == Position(OTHER_HISTORY, 0, 1)

    async def test_what_was_received_and_not_taken_is_kept_and_not_asked_for_again(
        self, daemon: ScriptedDaemon
    ) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            peer.output(b"abc", at=0)
            peer.say(Done((await peer.expect(ListConsoles)).id))
            peer.close()
            peer = await daemon.accept()
            asked = await peer.expect(Attach)
            assert asked.position == f"{HISTORY}:3:1"
            peer.say(place(asked.id, position=asked.position), Done((await peer.expect(ListConsoles)).id))
            await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            await mux.consoles()
            await mux.consoles()
            assert console.position.offset == 0
            assert [type(record) for record in await taken(console, 3)] == [Output, Disconnected, Resumed]

    @pytest.mark.parametrize("cause", [Cause.EVICTED, Cause.TOO_SLOW, Cause.IDLE, Cause.PROTOCOL_ERROR])
    async def test_a_client_that_was_sent_away_stays_away(self, daemon: ScriptedDaemon, cause: Cause) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            (await attached(daemon)).goodbye(reason(cause))

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            [last] = [record async for record in console]
            assert isinstance(last, PlaceEnded)
            assert last.reason.cause is cause

    async def test_a_goodbye_is_read_although_writing_has_failed(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            await peer.expect(Input)
            peer.goodbye(reason(Cause.EVICTED))

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            with pytest.raises(virtmux.InputRejected) as caught:
                await console.write(bytes(65536))
            assert caught.value.reason.cause is Cause.EVICTED

    async def test_what_is_done_to_a_guest_is_not_asked_again(self, tmp_path: Path) -> None:
        daemon = ScriptedDaemon(tmp_path / "virtmux.sock", features=[Feature.GUEST])

        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            await peer.expect(Guest)
            daemon.stop()
            async with daemon:
                peer = await daemon.accept()
                peer.say(Done((await peer.expect(ListConsoles)).id))
                await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
            with pytest.raises(virtmux.ConnectionLost, match="`nmi` may have been done"):
                await mux.guest("web1", "nmi")
            assert await mux.consoles() == []

    async def test_what_the_daemon_measures_is_asked_for_again_where_the_connection_was_lost(
        self, tmp_path: Path
    ) -> None:
        daemon = ScriptedDaemon(tmp_path / "virtmux.sock", features=[Feature.STATISTICS])

        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            asked = (await peer.expect(OpenMetrics)).id
            peer.say(MetricsText(asked, "half"))
            daemon.stop()
            async with daemon:
                peer = await daemon.accept()
                asked = (await peer.expect(OpenMetrics)).id
                peer.say(MetricsText(asked, "a "), MetricsText(asked, "text"), Done(asked))
                asked = (await peer.expect(Status)).id
                peer.say(StatisticsMessage(asked, MEASURED), Done(asked))
                await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
            assert await mux.openmetrics() == "a text"
            assert await mux.statistics() == MEASURED

    async def test_a_daemon_that_is_too_old_to_measure_is_not_asked(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
            for ask in (mux.statistics, mux.openmetrics):
                with pytest.raises(virtmux.Refused) as refused:
                    await ask()
                assert refused.value.reason.cause is Cause.FEATURE_MISSING

    async def test_it_gives_up_after_the_time_that_was_asked_for(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            await attached(daemon)
            daemon.stop()

        async with (
            playing(daemon, script),
            virtmux.connect(daemon.path, reconnect_for=0.2) as mux,
            mux.attach("web1") as console,
        ):
            lost, last = [record async for record in console]
        assert isinstance(lost, Disconnected)
        assert isinstance(last, PlaceEnded)
        assert last.reason.cause is Cause.SERVER_LOST
        assert "gave up after 0.2 s" in last.reason.text
        assert not last.reason.retry.will_retry

    async def test_reconnect_for_zero_is_never(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            (await attached(daemon)).close()

        async with (
            playing(daemon, script),
            virtmux.connect(daemon.path, reconnect_for=0) as mux,
            mux.attach("web1") as console,
        ):
            [last] = [record async for record in console]
            assert isinstance(last, PlaceEnded)

    async def test_a_place_that_is_refused_again_ends_with_that_reason(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            (await attached(daemon)).close()
            peer = await daemon.accept()
            peer.say(Refused((await peer.expect(Attach)).id, reason(Cause.CONSOLE_MISSING)))
            await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            _, last = [record async for record in console]
            assert isinstance(last, PlaceEnded)
            assert last.reason.cause is Cause.CONSOLE_MISSING


class TestInput:
    async def accept(self, peer: Peer, pieces: Sequence[int]) -> bytes:
        """Take input frames of exactly these sizes, and accept them."""
        data = b""
        for size in pieces:
            frame = await peer.expect(Input)
            assert (frame.attachment, frame.input_offset, len(frame.data)) == (1, len(data), size)
            data += frame.data
            peer.say(InputStatus(HANDLE, 1, accepted=len(data)))
        return data

    async def test_it_is_split_and_returns_when_all_is_taken(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            assert await self.accept(peer, [16384, 3616, 2]) == bytes(20000) + b"ls"
            await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            await console.write(bytes(20000))
            await console.write(b"ls")
            await console.write(b"")

    async def test_no_more_than_the_window_is_under_way(self, tmp_path: Path) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            assert await peer.expect_input(100) == bytes(100)
            peer.say(Done((await peer.expect(ListConsoles)).id))
            peer.say(InputStatus(HANDLE, 1, accepted=60))
            assert await peer.expect_input(50) == bytes(50)
            peer.say(InputStatus(HANDLE, 1, accepted=150))
            await peer.gone()

        daemon = ScriptedDaemon(tmp_path / "s", limits=Limits(input_window=100))
        async with (
            playing(daemon, script),
            virtmux.connect(daemon.path) as mux,
            mux.attach("web1") as console,
            asyncio.TaskGroup() as tasks,
        ):
            writing = tasks.create_task(console.write(bytes(150)))
            await asyncio.sleep(0)  # let it begin
            await mux.consoles()
            assert not writing.done()

    async def test_its_fate_is_asked_for_behind_the_last_byte_and_where_the_window_is_full(
        self, tmp_path: Path
    ) -> None:
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

    async def test_what_is_only_sent_is_not_waited_for(self, daemon: ScriptedDaemon) -> None:
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

    async def test_what_follows_input_that_was_not_taken_is_not_sent(self, daemon: ScriptedDaemon) -> None:
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

    async def test_how_it_fares_is_told_as_it_changes_also_of_a_former_attachment(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            await peer.expect_input(5)
            peer.say(InputStatus(HANDLE, 1, accepted=2, held=True))
            peer.mark(1, Break(AT, AT, AT), at=0)
            peer.attached(2, at=0, attachment=2)
            assert await peer.expect_input(1) == b"n"
            peer.say(InputStatus(HANDLE, 2, accepted=1))
            peer.say(InputStatus(HANDLE, 1, accepted=2, unknown=1, rejected=2, cause=Cause.STREAM_ENDED))
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

    async def test_what_was_rejected_is_counted_from_its_own_start(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            await self.accept(peer, [3])
            await peer.expect(Input)
            peer.say(InputStatus(HANDLE, 1, 5, unknown=1, rejected=4, cause=Cause.GUEST_DESTROYED))
            await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            await console.write(b"abc")
            with pytest.raises(virtmux.InputRejected) as caught:
                await console.write(b"defghij")
        error = caught.value
        assert (error.accepted, error.unknown, error.rejected) == (2, 1, 4)
        assert error.reason.cause is Cause.GUEST_DESTROYED

    async def test_with_a_lost_connection_the_fate_is_unknown(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            await self.accept(peer, [16384])
            await peer.expect(Input)
            daemon.stop()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            with pytest.raises(virtmux.InputRejected) as caught:
                await console.write(bytes(20000))
            assert (caught.value.accepted, caught.value.unknown, caught.value.rejected) == (16384, 3616, 0)
            with pytest.raises(virtmux.NotAttached) as again:
                await console.write(b"x")
            assert again.value.reason.cause is Cause.SERVER_LOST

    async def test_it_goes_to_the_attachment_that_the_reader_has_come_to(self, daemon: ScriptedDaemon) -> None:
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

    async def test_replayed_marks_do_not_say_what_is_attached_now(self, daemon: ScriptedDaemon) -> None:
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

    async def test_a_console_that_waits_takes_none(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            peer.say(waiting((await peer.expect(Attach)).id, reason(Cause.GUEST_NOT_RUNNING)))
            await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            assert console.attachment is None
            with pytest.raises(virtmux.NotAttached) as caught:
                await console.write(b"x")
            assert caught.value.reason.cause is Cause.GUEST_NOT_RUNNING

    async def test_a_read_only_place_refuses_it(self, daemon: ScriptedDaemon) -> None:
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


BOB = Person(2, "bob", 1001, 123)


class TestRoles:
    @pytest.fixture
    def daemon(self, tmp_path: Path) -> ScriptedDaemon:
        return ScriptedDaemon(tmp_path / "virtmux.sock", features=[Feature.ROLES])

    async def test_a_place_says_its_role_and_who_is_there_and_a_change_counts_once_it_is_taken(
        self, daemon: ScriptedDaemon
    ) -> None:
        others = Company(HANDLE, [Companion(BOB, Role.EXCLUSIVE)])

        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            asked = await peer.expect(Attach)
            assert (asked.exclusive, asked.company) == (False, True)
            peer.say(place(asked.id), RoleChanged(HANDLE, Role.WATCHER, BOB), others)
            peer.say(RoleChanged(HANDLE, Role.WRITER, BOB))
            await peer.gone()

        async with (
            playing(daemon, script),
            virtmux.connect(daemon.path) as mux,
            mux.attach("web1", company=True) as console,
        ):
            assert (console.role, console.exclusive_to) == (Role.WRITER, None)
            assert await anext(console) == RoleChanged(HANDLE, Role.WATCHER, BOB)
            assert (console.role, console.exclusive_to) == (Role.WATCHER, BOB)
            assert await anext(console) == others
            await anext(console)
            assert (console.role, console.exclusive_to) == (Role.WRITER, None)

    async def test_a_watchers_input_is_refused_and_not_sent_and_afterwards_it_is_taken_again(
        self, daemon: ScriptedDaemon
    ) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            assert (await peer.expect(Input)).input_offset == 0
            peer.say(InputStatus(HANDLE, 1, accepted=3), RoleChanged(HANDLE, Role.WATCHER, BOB))
            peer.say(RoleChanged(HANDLE, Role.WRITER, BOB))
            again = await peer.expect(Input)
            assert (again.input_offset, again.data) == (3, b"again")
            peer.say(InputStatus(HANDLE, 1, accepted=8))
            await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            await console.write(b"one")
            await anext(console)
            for give in (console.write, console.send):
                with pytest.raises(virtmux.Refused, match="bob has the console alone") as caught:
                    await give(b"two")
                assert caught.value.reason.cause is Cause.ACCESS_DENIED
            await anext(console)
            await console.write(b"again")

    async def test_what_crosses_the_change_is_rejected_and_what_comes_after_it_is_counted_anew(
        self, daemon: ScriptedDaemon
    ) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            await peer.expect_input(3)
            peer.say(RoleChanged(HANDLE, Role.WATCHER, BOB))
            peer.say(InputStatus(HANDLE, 1, accepted=1, rejected=2, cause=Cause.ACCESS_DENIED))
            peer.say(RoleChanged(HANDLE, Role.WRITER, BOB))
            again = await peer.expect(Input)
            assert (again.attachment, again.input_offset, again.data) == (1, 3, b"again")
            peer.say(InputStatus(HANDLE, 1, accepted=5, base=3))
            await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            with pytest.raises(virtmux.InputRejected) as caught:
                await console.write(b"one")
            rejected = caught.value
            assert (rejected.accepted, rejected.rejected, rejected.reason.cause) == (1, 2, Cause.ACCESS_DENIED)
            await taken(console, 2)
            await console.write(b"again")
            assert console.input == InputState(1, accepted=5)

    async def test_a_write_in_the_midst_of_which_the_count_begins_anew_has_not_surely_arrived(
        self, daemon: ScriptedDaemon
    ) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            await peer.expect_input(40_000)
            peer.say(RoleChanged(HANDLE, Role.WATCHER, BOB), RoleChanged(HANDLE, Role.WRITER, BOB))
            peer.say(InputStatus(HANDLE, 1, accepted=23_616, base=16_384))
            await peer.gone()

        async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
            with pytest.raises(virtmux.InputRejected) as caught:
                await console.write(bytes(40_000))
            rejected = caught.value
            assert (rejected.accepted, rejected.unknown, rejected.rejected) == (0, 40_000, 0)
            assert rejected.reason.cause is Cause.ACCESS_DENIED

    async def test_after_a_lost_connection_the_last_token_asks_for_the_role_and_nothing_is_taken_twice(
        self, daemon: ScriptedDaemon
    ) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            (await again(daemon, None, "first")).close()
            (await again(daemon, "first", "second")).close()
            await (await again(daemon, "second", "third")).gone()

        async def again(daemon: ScriptedDaemon, token: str | None, new: str) -> Peer:
            peer = await daemon.accept()
            asked = await peer.expect(Attach)
            assert (asked.exclusive, asked.company, asked.token) == (True, True, token)
            assert (asked.steal, asked.force) == (token is None, token is None)
            peer.say(replace(place(asked.id), role=Role.EXCLUSIVE, token=new))
            return peer

        daemon = ScriptedDaemon(daemon.path, features=[Feature.ROLES, Feature.FORCE])
        async with (
            playing(daemon, script),
            virtmux.connect(daemon.path) as mux,
            mux.attach("web1", exclusive=True, steal=True, company=True, force=True) as console,
        ):
            kinds = [type(record) for record in await taken(console, 4)]
            assert kinds == [Disconnected, Resumed, Disconnected, Resumed]
            assert console.role is Role.EXCLUSIVE

    async def test_stolen_meanwhile_it_says_by_whom(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            asked = await peer.expect(Attach)
            peer.say(replace(place(asked.id), role=Role.EXCLUSIVE, token="t"))
            peer.close()
            peer = await daemon.accept()
            asked = await peer.expect(Attach)
            peer.say(replace(place(asked.id, read_only=True), role=Role.WATCHER, by=BOB))
            await peer.gone()

        async with (
            playing(daemon, script),
            virtmux.connect(daemon.path) as mux,
            mux.attach("web1", exclusive=True) as console,
        ):
            await taken(console, 2)
            assert (console.role, console.exclusive_to) == (Role.WATCHER, BOB)

    async def test_an_older_daemon_is_not_asked_for_what_it_does_not_know(self, tmp_path: Path) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            await (await daemon.accept()).gone()

        daemon = ScriptedDaemon(tmp_path / "older.sock")
        async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
            with pytest.raises(virtmux.Refused) as caught:
                async with mux.attach("web1", exclusive=True):
                    pass
        assert caught.value.reason.cause is Cause.FEATURE_MISSING

    async def test_where_an_older_daemon_takes_its_place_the_place_ends_with_that_and_the_connection_goes_on(
        self, daemon: ScriptedDaemon
    ) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            peer.say(replace(place((await peer.expect(Attach)).id), role=Role.EXCLUSIVE, token="t"))
            daemon.stop()
            async with ScriptedDaemon(daemon.path) as older:
                peer = await older.accept()
                peer.say(Done((await peer.expect(ListConsoles)).id))
                await peer.gone()

        async with (
            playing(daemon, script),
            virtmux.connect(daemon.path) as mux,
            mux.attach("web1", exclusive=True) as console,
        ):
            _, last = [record async for record in console]
            assert isinstance(last, PlaceEnded)
            assert last.reason.cause is Cause.FEATURE_MISSING
            assert await mux.consoles() == []


class TestEvents:
    async def test_they_begin_anew_after_a_lost_connection(self, daemon: ScriptedDaemon) -> None:
        appeared = Event(event="appeared", at=AT, console=CONSOLE, offset=0)

        async def script(daemon: ScriptedDaemon) -> None:
            for last in (False, True):
                peer = await daemon.accept()
                asked = await peer.expect(Watch)
                peer.say(appeared, Done(asked.id))
                if last:
                    await peer.gone()
                peer.close()

        async with (
            playing(daemon, script),
            virtmux.connect(daemon.path) as mux,
            contextlib.aclosing(mux.events()) as events,
        ):
            first, lost, again, second = [await anext(events) for _ in range(4)]
        assert first == second == appeared
        assert isinstance(lost, Disconnected)
        assert isinstance(again, Reconnected)

    async def test_they_end_with_the_connection(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            await peer.expect(Watch)
            peer.goodbye(reason(Cause.EVICTED))

        async with (
            playing(daemon, script),
            virtmux.connect(daemon.path) as mux,
            contextlib.aclosing(mux.events()) as events,
        ):
            with pytest.raises(virtmux.ConnectionLost) as caught:
                await anext(events)
        assert caught.value.reason.cause is Cause.EVICTED


class TestPublicFace:
    def test_every_public_name_can_be_had(self) -> None:
        for name in virtmux.__all__:
            assert getattr(virtmux, name) is not None

    def test_the_wire_is_light(self) -> None:
        script = (
            "import sys, virtmux.wire; print(*{'asyncio', 'virtmux.client', 'virtmux.messages'} & set(sys.modules))"
        )
        run = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        assert run.stdout.split() == []
