"""Who may type at a console, as a client is told by a scripted daemon."""

from pathlib import Path

import pytest
from msgspec.structs import replace

import virtmux
from tests.harness.scripted_daemon import CONSOLE, HANDLE, Peer, ScriptedDaemon, attached, place, playing, taken
from virtmux.features import Feature
from virtmux.following import Disconnected, Resumed
from virtmux.ledger import InputState
from virtmux.messages import Attach, Company, Done, InputStatus, ListConsoles, PlaceEnded, RoleChanged
from virtmux.people import Companion, Person, Role
from virtmux.reasons import Cause, sentence
from virtmux.wire import Input

BOB = Person(2, "bob", 1001, 123)


@pytest.fixture
def daemon(tmp_path: Path) -> ScriptedDaemon:
    return ScriptedDaemon(tmp_path / "virtmux.sock", features=[Feature.ROLES])


async def test_a_place_says_its_role_and_who_is_there_and_a_change_counts_once_it_is_taken(
    daemon: ScriptedDaemon,
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
    daemon: ScriptedDaemon,
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
            with pytest.raises(virtmux.Refused) as caught:
                await give(b"two")
            why = sentence(Cause.ACCESS_DENIED, CONSOLE, "bob has the console alone")
            assert (caught.value.reason.text, caught.value.reason.console) == (why, CONSOLE)
            assert caught.value.reason.cause is Cause.ACCESS_DENIED
        await anext(console)
        await console.write(b"again")


async def test_what_crosses_the_change_is_rejected_and_what_comes_after_it_is_counted_anew(
    daemon: ScriptedDaemon,
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
    daemon: ScriptedDaemon,
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
    daemon: ScriptedDaemon,
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


async def test_stolen_meanwhile_it_says_by_whom(daemon: ScriptedDaemon) -> None:
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


async def test_an_older_daemon_is_not_asked_for_what_it_does_not_know(tmp_path: Path) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        await (await daemon.accept()).gone()

    daemon = ScriptedDaemon(tmp_path / "older.sock")
    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        with pytest.raises(virtmux.Refused) as caught:
            async with mux.attach("web1", exclusive=True):
                pass
    assert caught.value.reason.cause is Cause.FEATURE_MISSING


async def test_where_an_older_daemon_takes_its_place_the_place_ends_with_that_and_the_connection_goes_on(
    daemon: ScriptedDaemon,
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
