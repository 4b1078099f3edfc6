"""The next link of a connection that was lost: for how long, how often and in which way it is tried for."""

import shlex
from pathlib import Path

import pytest

import virtmux
from tests.harness.scripted_daemon import ScriptedDaemon, attached, playing, reason, taken
from tests.harness.scripted_ssh import saying
from virtmux.addresses import SshHost
from virtmux.backoff import Backoff
from virtmux.following import Disconnected, Resumed
from virtmux.messages import DaemonHello, Done, Goodbye, Limits, ListConsoles, PlaceEnded, encode
from virtmux.reasons import Cause


async def test_it_gives_up_after_the_time_that_was_asked_for(daemon: ScriptedDaemon) -> None:
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


async def test_reconnect_for_zero_is_never(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        (await attached(daemon)).close()

    async with (
        playing(daemon, script),
        virtmux.connect(daemon.path, reconnect_for=0) as mux,
        mux.attach("web1") as console,
    ):
        [last] = [record async for record in console]
        assert isinstance(last, PlaceEnded)


@pytest.mark.parametrize(
    ("stable_s", "expected"), [(600.0, [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]), (-1.0, [0.05] * 8)]
)
async def test_it_waits_ever_longer_for_the_next_link_until_one_was_good(
    daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch, stable_s: float, expected: list[float]
) -> None:
    waits: list[float] = []

    class Unhurried(Backoff):
        """None of its intervals is shortened, and none is waited for."""

        def next(self) -> float:
            self.chance = lambda: 0.0
            waits.append(super().next())
            return 0.0

    async def script(daemon: ScriptedDaemon) -> None:
        for _ in expected:
            (await daemon.accept()).close()
        peer = await daemon.accept()
        peer.say(Done((await peer.expect(ListConsoles)).id))
        await peer.gone()

    monkeypatch.setattr("virtmux.connection.Backoff", Unhurried)
    monkeypatch.setattr("virtmux.connection._STABLE_S", stable_s)
    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        await mux.consoles()
    assert waits == expected


async def test_by_ssh_it_connects_again_without_asking_for_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goodbye = tmp_path / "goodbye"
    goodbye.write_bytes(encode(Goodbye(reason(Cause.EVICTED))))
    hello = encode(DaemonHello(software="scripted", limits=Limits(), features=[]))
    then = f'case "$*" in *BatchMode=yes*) cat {shlex.quote(str(goodbye))};; esac'
    monkeypatch.setenv("VIRTMUX_SSH", saying(tmp_path, hello, then=then))
    async with virtmux.connect(SshHost("far")) as mux:
        with pytest.raises(virtmux.ConnectionLost) as lost:
            await mux.consoles()
    assert lost.value.reason.cause is Cause.EVICTED


async def test_sent_away_while_it_connects_again_a_client_gives_up(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        (await attached(daemon)).close()
        (await daemon.accept(greet=False)).goodbye(reason(Cause.EVICTED))

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        lost, last = [record async for record in console]
        assert isinstance(lost, Disconnected)
        assert isinstance(last, PlaceEnded)
        assert last.reason.cause is Cause.EVICTED


async def test_where_it_may_not_connect_again_it_tries_until_its_time_is_over(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        (await attached(daemon)).close()
        (await daemon.accept(greet=False)).goodbye(reason(Cause.ACCESS_DENIED))
        await (await attached(daemon)).gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        assert [type(record) for record in await taken(console, 2)] == [Disconnected, Resumed]
