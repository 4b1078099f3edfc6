"""Questions without an event loop, against a scripted daemon: its part is played by the test's loop, theirs by a
thread."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

import virtmux
from tests.harness.scripted_daemon import (
    DEADLINE_S,
    MEASURED,
    Peer,
    ScriptedDaemon,
    console_info,
    hypervisor_info,
    playing,
    reason,
)
from tests.harness.scripted_ssh import REPEATING, saying
from virtmux.addresses import SshHost
from virtmux.asking import Asking
from virtmux.dialing import Dialed
from virtmux.features import Feature
from virtmux.messages import (
    ClientHello,
    Console,
    DaemonHello,
    Done,
    Goodbye,
    Hypervisor,
    Limits,
    ListConsoles,
    MetricsText,
    OpenMetrics,
    Refused,
    Statistics,
    StatisticsMessage,
    Status,
    encode,
)
from virtmux.reasons import Cause, Phase, Reason, sentence

_T = TypeVar("_T")
FAR = SshHost("far")
#: How one that measures begins: it greets, and knows of no consoles.
BEGUN = encode(DaemonHello(software="scripted", limits=Limits(), features=[Feature.STATISTICS])) + encode(Done(1))
Script = Callable[[Peer], Coroutine[Any, Any, None]]


async def asked(
    daemon: ScriptedDaemon, script: Script, use: Callable[[Asking], _T], *, seconds: float | None = None
) -> _T:
    """What a program has of a daemon that plays its part."""

    async def play(daemon: ScriptedDaemon) -> None:
        await script(await daemon.accept(greet=seconds is None))

    def program() -> _T:
        with Asking(daemon.path, seconds=seconds) as asking:
            return use(asking)

    async with playing(daemon, play):
        return await asyncio.to_thread(program)


async def lists(peer: Peer) -> None:
    assert peer.hello == ClientHello(software="virtmux-python", features=list(Feature))
    request = (await peer.expect(ListConsoles)).id
    peer.say(Hypervisor(request, hypervisor_info()), Console(request, console_info()), Done(request))


async def test_it_answers_with_what_the_daemon_is_and_knows(daemon: ScriptedDaemon) -> None:
    greeting, hypervisors, consoles, address = await asked(daemon, lists, Asking.answer)
    assert (greeting.software, address) == ("scripted", str(daemon.path))
    assert [each.info for each in hypervisors] == [hypervisor_info()]
    assert [each.info for each in consoles] == [console_info()]


async def test_more_can_be_asked_of_a_daemon_that_measures(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await lists(peer)
        request = (await peer.expect(Status)).id
        peer.say(StatisticsMessage(request, MEASURED), Done(request))
        request = (await peer.expect(OpenMetrics)).id
        peer.say(MetricsText(request, "a "), MetricsText(request, "text"), Done(request))

    def use(asking: Asking) -> object:
        asking.answer()
        return asking.statistics(), asking.openmetrics()

    daemon = ScriptedDaemon(tmp_path / "virtmux.sock", features=[Feature.STATISTICS])
    assert await asked(daemon, script, use) == (MEASURED, "a text")


async def test_one_that_answers_within_the_time_is_heard(daemon: ScriptedDaemon) -> None:
    async def script(peer: Peer) -> None:
        daemon.greet(peer)
        await lists(peer)

    assert (await asked(daemon, script, Asking.answer, seconds=DEADLINE_S)).greeting.software == "scripted"


async def test_what_is_not_told_by_one_that_measures_is_none(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await lists(peer)
        peer.say(Done((await peer.expect(Status)).id))

    def use(asking: Asking) -> object:
        asking.answer()
        return asking.statistics()

    daemon = ScriptedDaemon(tmp_path / "virtmux.sock", features=[Feature.STATISTICS])
    assert await asked(daemon, script, use) is None


async def test_one_that_is_gone_before_it_is_asked_again_is_lost(tmp_path: Path) -> None:
    gone = threading.Event()

    async def script(peer: Peer) -> None:
        await lists(peer)
        peer.close()
        gone.set()

    def use(asking: Asking) -> virtmux.VirtmuxError:
        asking.answer()
        assert gone.wait(DEADLINE_S)
        with pytest.raises(virtmux.ConnectionLost) as lost:
            asking.statistics()
        return lost.value

    daemon = ScriptedDaemon(tmp_path / "virtmux.sock", features=[Feature.STATISTICS])
    assert "Broken pipe" in str(await asked(daemon, script, use))


async def test_an_older_one_is_not_asked(daemon: ScriptedDaemon) -> None:
    def use(asking: Asking) -> tuple[Statistics | None, Reason]:
        with pytest.raises(ValueError, match="has not answered yet"):
            asking.statistics()
        asking.answer()
        with pytest.raises(virtmux.Refused) as refused:
            asking.openmetrics()
        return asking.statistics(), refused.value.reason

    statistics, why = await asked(daemon, lists, use)
    assert (statistics, why.cause, why.text.endswith("`statistics`; scripted")) == (None, Cause.FEATURE_MISSING, True)


def failing(asking: Asking) -> virtmux.VirtmuxError:
    """How its answer fails."""
    with pytest.raises(virtmux.VirtmuxError) as failed:
        asking.answer()
    return failed.value


async def test_a_refusal_is_raised(daemon: ScriptedDaemon) -> None:
    async def script(peer: Peer) -> None:
        peer.say(Refused((await peer.expect(ListConsoles)).id, reason(Cause.INTERNAL_ERROR)))

    error = await asked(daemon, script, failing)
    assert (type(error), error.reason.cause) == (virtmux.Refused, Cause.INTERNAL_ERROR)


@pytest.mark.parametrize(
    ("cause", "error"), [(Cause.EVICTED, virtmux.ConnectionLost), (Cause.ACCESS_DENIED, virtmux.Refused)]
)
async def test_who_is_sent_away_is_told_why(daemon: ScriptedDaemon, cause: Cause, error: type[Exception]) -> None:
    async def script(peer: Peer) -> None:
        peer.say(Goodbye(reason(cause)))

    failed = await asked(daemon, script, failing)
    assert (type(failed), failed.reason.cause) == (error, cause)


async def test_a_daemon_that_leaves_without_a_word_is_lost(daemon: ScriptedDaemon) -> None:
    async def script(peer: Peer) -> None:
        await peer.expect(ListConsoles)
        peer.close()

    error = await asked(daemon, script, failing)
    assert (type(error), error.reason.cause) == (virtmux.ConnectionLost, Cause.SERVER_LOST)
    assert (error.reason.phase, error.reason.text) == (Phase.CONNECTION, sentence(Cause.SERVER_LOST))


async def test_broken_protocol_is_said_so(daemon: ScriptedDaemon) -> None:
    async def script(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 400 Bad Request\r\n")

    assert (await asked(daemon, script, failing)).reason.cause is Cause.PROTOCOL_ERROR


async def test_one_that_does_not_answer_in_time_is_lost(daemon: ScriptedDaemon) -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    error = await asked(daemon, script, failing, seconds=0.1)
    assert (type(error), error.reason.cause) == (virtmux.ConnectionLost, Cause.SERVER_LOST)
    assert "no answer in time" in str(error)
    assert error.reason.phase is Phase.CONNECTION


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The sockets of who asks next, whoever that is, and of the daemon."""
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    monkeypatch.setattr("virtmux.asking.dial", lambda *_, **__: Dialed("here", ours))
    with ours, peer:
        yield ours, peer


def test_each_answer_may_take_what_is_left_of_the_time(
    monkeypatch: pytest.MonkeyPatch, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, peer = pair
    clock = iter([1000.0, 1000.0, 1003.0, 1006.0])
    monkeypatch.setattr("virtmux.asking.time", SimpleNamespace(monotonic=clock.__next__))
    waits: list[float | None] = []
    peer.sendall(BEGUN)
    with Asking(None, seconds=5) as asking:
        asking.answer()
        waits.append(ours.gettimeout())
        for request in (2, 3):
            peer.sendall(encode(Done(request)))
            asking.statistics()
            waits.append(ours.gettimeout())
    assert waits == [5.0, 2.0, 0.001]


@pytest.mark.parametrize(
    ("leaves", "why"), [("before", "[Errno 32] Broken pipe"), ("after", "[Errno 104] Connection reset by peer")]
)
def test_where_a_daemon_leaves_without_reading_the_system_says_why(
    pair: tuple[socket.socket, socket.socket], leaves: str, why: str
) -> None:
    _, peer = pair
    if leaves == "before":
        peer.close()
    with Asking(None) as asking:
        peer.close()
        reason = failing(asking).reason
    text = sentence(Cause.SERVER_LOST, detail=why)
    assert (reason.cause, reason.phase, reason.text) == (Cause.SERVER_LOST, Phase.CONNECTION, text)


class TestBySsh:
    def test_it_may_take_its_time_until_the_daemon_greets(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, graces: list[float]
    ) -> None:
        monkeypatch.setenv("VIRTMUX_SSH", saying(tmp_path, BEGUN, first="sleep 0.1"))
        monkeypatch.setattr("virtmux.asking.GREETING_S", 0.001)
        with Asking(FAR) as asking:
            asking.answer()
            with pytest.raises(virtmux.ConnectionLost, match="far: no answer in time"):
                asking.statistics()
        assert graces == [0]

    def test_what_greets_as_no_daemon_does_is_not_from_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VIRTMUX_SSH", saying(tmp_path, b"Welcome to far\n"))
        with Asking(FAR) as asking:
            assert "what comes from far is not from virtmux" in str(failing(asking))

    def test_a_daemon_that_has_greeted_may_break_the_protocol_there_as_well(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VIRTMUX_SSH", saying(tmp_path, BEGUN + b"Welcome to far\n"))
        with Asking(FAR) as asking:
            assert failing(asking).reason.cause is Cause.PROTOCOL_ERROR

    @pytest.mark.parametrize("seconds", [None, DEADLINE_S])
    def test_it_asks_for_nothing_where_there_is_little_time(
        self, monkeypatch: pytest.MonkeyPatch, seconds: float | None
    ) -> None:
        monkeypatch.setenv("VIRTMUX_SSH", REPEATING)
        with Asking(FAR, seconds=seconds) as asking:
            said = str(failing(asking))
        assert said.startswith("no connection to far: -T -o ")
        assert ("-o BatchMode=yes" in said) == (seconds is not None)
