"""Questions without an event loop, against a scripted daemon: its part is played by the test's loop, theirs by a
thread."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
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
from virtmux.asking import Asking
from virtmux.features import Feature
from virtmux.messages import (
    ClientHello,
    Console,
    Done,
    Goodbye,
    Hypervisor,
    ListConsoles,
    MetricsText,
    OpenMetrics,
    Refused,
    Statistics,
    StatisticsMessage,
    Status,
)
from virtmux.reasons import Cause, Phase, Reason, sentence

_T = TypeVar("_T")
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
