"""The asyncio client against a scripted daemon on a real socket: how it finds the daemon, and what it asks."""

import asyncio
from pathlib import Path

import pytest

import virtmux
from tests.harness.scripted_daemon import (
    AT,
    CONSOLE,
    HANDLE,
    HISTORY,
    ScriptedDaemon,
    attached,
    console_info,
    hypervisor_info,
    place,
    playing,
    reason,
    taken,
)
from virtmux.domains import DeviceInfo, DomainInfo
from virtmux.features import Feature
from virtmux.messages import (
    Attach,
    Detach,
    Domains,
    Done,
    Guest,
    Hypervisor,
    Kick,
    Limits,
    ListConsoles,
    Reclaim,
    Refused,
    Release,
    Who,
)
from virtmux.messages import Client as ClientMessage
from virtmux.messages import Console as ConsoleMessage
from virtmux.messages import Domain as DomainMessage
from virtmux.people import ClientInfo, Person
from virtmux.reasons import Cause
from virtmux.wire import Output


async def test_no_daemon_is_named_with_the_socket(tmp_path: Path) -> None:
    path = tmp_path / "none.sock"
    with pytest.raises(virtmux.ConnectionLost, match=f"{path}: No such file") as caught:
        async with virtmux.connect(path):
            pass
    assert caught.value.reason.cause is Cause.SERVER_LOST


async def test_a_goodbye_instead_of_a_greeting_is_the_reason(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        (await daemon.accept(greet=False)).goodbye(reason(Cause.EVICTED))

    async with playing(daemon, script):
        with pytest.raises(virtmux.ConnectionLost) as caught:
            async with virtmux.connect(daemon.path):
                pass
    assert caught.value.reason.cause is Cause.EVICTED


async def test_a_daemon_may_greet_after_the_client_as_well(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept(greet=False)
        daemon.greet(peer)
        peer.say(Done((await peer.expect(ListConsoles)).id))

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        assert await mux.consoles() == []


async def test_a_client_that_was_not_entered_says_so(daemon: ScriptedDaemon) -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await virtmux.connect(daemon.path).consoles()


async def test_the_applications_own_error_passes_unwrapped(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        await (await daemon.accept()).gone()

    async with playing(daemon, script):
        with pytest.raises(ZeroDivisionError):
            async with virtmux.connect(daemon.path):
                raise ZeroDivisionError


async def test_consoles_are_listed(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(ListConsoles)
        peer.say(ConsoleMessage(asked.id, console_info()), ConsoleMessage(asked.id, console_info(console=8)))
        peer.say(Done(asked.id))

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        assert [info.console for info in await mux.consoles()] == [7, 8]


async def test_with_their_hypervisors_in_one_answer(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(ListConsoles)
        peer.say(Hypervisor(asked.id, hypervisor_info()), ConsoleMessage(asked.id, console_info()), Done(asked.id))

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        assert await mux.inventory() == ([hypervisor_info()], [console_info()])


async def test_a_release_is_done_once_the_console_is_let_go(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Release)
        assert asked == Release(asked.id, "web1", "serial0", "qemu:///system", 90)
        peer.say(Refused(asked.id, reason(Cause.HYPERVISOR_TIMEOUT)))
        reclaimed = await peer.expect(Reclaim)
        assert reclaimed == Reclaim(reclaimed.id, "web1", "serial0", "qemu:///system")
        peer.say(Done(reclaimed.id))

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        with pytest.raises(virtmux.Refused) as caught:
            await mux.release("web1", "serial0", uri="qemu:///system", seconds=90)
        assert caught.value.reason.cause is Cause.HYPERVISOR_TIMEOUT
        await mux.reclaim("web1", "serial0", uri="qemu:///system")


async def test_a_missing_console_is_refused_and_the_connection_goes_on(daemon: ScriptedDaemon) -> None:
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
async def test_a_name_that_cannot_be_sent_is_the_callers_error(daemon: ScriptedDaemon, name: str) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(Done((await peer.expect(ListConsoles)).id))

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        with pytest.raises(ValueError, match=r"not UTF-8|at most 1024"):
            async with mux.attach(name):
                pass
        await mux.consoles()


async def test_leaving_a_place_detaches_and_drops_what_still_comes(daemon: ScriptedDaemon) -> None:
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


async def test_a_place_that_nobody_waits_for_any_more_is_given_back(daemon: ScriptedDaemon) -> None:
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


async def test_what_is_larger_than_the_daemon_takes_is_refused_and_not_sent(tmp_path: Path) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(Done((await peer.expect(ListConsoles)).id))
        await peer.gone()

    daemon = ScriptedDaemon(tmp_path / "s", limits=Limits(message=4096))
    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        with pytest.raises(virtmux.Refused, match="takes 4096 at most"):
            await mux.release("\N{WATCH}" * 1024, "\N{WATCH}" * 1024)
        await mux.consoles()


async def test_a_daemon_that_is_too_old_to_measure_is_not_asked(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        for ask in (mux.statistics, mux.openmetrics):
            with pytest.raises(virtmux.Refused) as refused:
                await ask()
            assert refused.value.reason.cause is Cause.FEATURE_MISSING


async def test_people_and_domains_are_asked_for_and_a_client_is_sent_away(tmp_path: Path) -> None:
    client = ClientInfo(who=Person(2, "bob", 1001, 123), since=AT, software="test", read_only=False, places=[])
    domain = DomainInfo(
        uri=CONSOLE.uri,
        domain="web1",
        uuid=CONSOLE.uuid,
        running=True,
        paused=False,
        served=True,
        devices=[DeviceInfo("serial0", "pty")],
        graphics=["vnc"],
    )

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = (await peer.expect(Who)).id
        peer.say(ClientMessage(asked, client), Done(asked))
        kicked = await peer.expect(Kick)
        assert kicked.client == 2
        peer.say(Done(kicked.id))
        asked_for = await peer.expect(Domains)
        assert asked_for == Domains(asked_for.id, "web1", CONSOLE.uri)
        peer.say(DomainMessage(asked_for.id, domain), Done(asked_for.id))

    daemon = ScriptedDaemon(tmp_path / "virtmux.sock", features=[Feature.WHO, Feature.DOMAINS])
    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        assert await mux.who() == [client]
        await mux.kick(2)
        assert await mux.domains("web1", uri=CONSOLE.uri) == [domain]


async def test_a_guest_is_asked_for_with_the_keys_to_press(tmp_path: Path) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Guest)
        assert asked == Guest(
            id=asked.id, domain="web1", uri=CONSOLE.uri, action="key", keys=[29, 56, 111], hold_ms=250
        )
        peer.say(Done(asked.id))

    daemon = ScriptedDaemon(tmp_path / "virtmux.sock", features=[Feature.GUEST])
    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        await mux.guest("web1", "key", uri=CONSOLE.uri, keys=(29, 56, 111), hold_ms=250)
