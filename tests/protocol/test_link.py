"""One link to a daemon whose part the test plays, or to an ssh: how it begins, what is asked on it, and why it ends."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

import virtmux
from tests.harness.scripted_daemon import AT, CONSOLE, HANDLE, Peer, ScriptedDaemon, place, playing
from tests.harness.scripted_ssh import REPEATING, saying
from virtmux.addresses import SshHost
from virtmux.dialing import CLOSING_S
from virtmux.features import Feature
from virtmux.link import Question, open_link
from virtmux.messages import (
    Attach,
    ClientHello,
    DaemonHello,
    Done,
    Event,
    Kick,
    Limits,
    ListConsoles,
    Release,
    encode,
)
from virtmux.reasons import Cause, Phase, Reason, sentence
from virtmux.wire import HEADER_SIZE

FAR = SshHost("far")
HELLO = DaemonHello(software="scripted", limits=Limits(), features=[])


def told(why: Reason) -> tuple[Cause, Phase, str]:
    """What a reason says, but for its time."""
    return why.cause, why.phase, why.text


async def left(daemon: ScriptedDaemon) -> None:
    """A client that is greeted and asks for nothing that is answered."""
    await (await daemon.accept()).gone()


async def test_both_say_what_they_are(tmp_path: Path) -> None:
    limits = Limits(input=1000)

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        assert peer.hello == ClientHello(software="virtmux-python", features=list(Feature))
        await peer.gone()

    daemon = ScriptedDaemon(tmp_path / "s", limits=limits, features=[Feature.WHO])
    async with playing(daemon, script):
        link = await open_link([daemon.path])
        assert (link.software, link.limits, link.features) == ("scripted", limits, frozenset({"who"}))
        await link.close()


@pytest.mark.parametrize(
    ("question", "feature"),
    [(Kick(0, 1), "who"), (Attach(0, "web1", force=True), "force"), (Attach(0, "web1", exclusive=True), "roles")],
)
async def test_what_the_daemon_is_too_old_for_is_not_asked(
    daemon: ScriptedDaemon, question: Question, feature: str
) -> None:
    async with playing(daemon, left):
        link = await open_link([daemon.path])
        with pytest.raises(virtmux.Refused) as refused:
            link.ask(question)
        text = sentence(Cause.FEATURE_MISSING, detail=f"`{feature}`; scripted")
        assert told(refused.value.reason) == (Cause.FEATURE_MISSING, Phase.CLIENT, text)
        await link.close()


async def test_a_question_is_as_long_as_the_daemon_takes_at_most(tmp_path: Path) -> None:
    most = len(encode(Release(1, "web1"))) - HEADER_SIZE

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        assert (await peer.expect(Release)).domain == "web1"
        await peer.gone()

    daemon = ScriptedDaemon(tmp_path / "s", limits=Limits(message=most))
    async with playing(daemon, script):
        link = await open_link([daemon.path])
        with pytest.raises(virtmux.Refused) as refused:
            link.ask(Release(0, "web10"))
        detail = f"a message of {most + 1} bytes, and scripted takes {most} at most"
        text = sentence(Cause.PROTOCOL_ERROR, detail=detail)
        assert told(refused.value.reason) == (Cause.PROTOCOL_ERROR, Phase.CLIENT, text)
        link.ask(Release(0, "web1"))
        await link.close()


async def test_a_daemon_that_does_not_greet_in_time_is_lost(
    daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("virtmux.link.GREETING_S", 0.0)

    async def script(daemon: ScriptedDaemon) -> None:
        await (await daemon.accept(greet=False)).gone()

    async with playing(daemon, script):
        with pytest.raises(virtmux.ConnectionLost) as lost:
            await open_link([daemon.path])
    text = sentence(Cause.SERVER_LOST, detail=f"{daemon.path}: no greeting within 0 s")
    assert told(lost.value.reason) == (Cause.SERVER_LOST, Phase.CONNECTION, text)
    assert str(lost.value.__cause__) == text


async def test_an_event_in_the_greeting_breaks_the_protocol(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept(greet=False)
        peer.say(HELLO, Event(event="appeared", at=AT, console=CONSOLE, offset=0))
        await peer.gone()

    async with playing(daemon, script):
        with pytest.raises(virtmux.ConnectionLost) as lost:
            await open_link([daemon.path])
    text = sentence(Cause.PROTOCOL_ERROR, detail="event appeared before anything was asked for")
    assert told(lost.value.reason) == (Cause.PROTOCOL_ERROR, Phase.CONNECTION, text)


def not_asked(peer: Peer) -> None:
    peer.say(Done(9))


def no_attach(peer: Peer) -> None:
    peer.say(place(1))


@pytest.mark.parametrize(
    ("end", "cause", "detail"),
    [
        (Peer.close, Cause.SERVER_LOST, "[Errno 104] Connection reset by peer"),
        (not_asked, Cause.PROTOCOL_ERROR, "an answer to request 9, which is not open"),
        (no_attach, Cause.PROTOCOL_ERROR, f"a place at console {HANDLE} that was not asked for"),
    ],
)
async def test_its_end_says_what_ended_it(
    daemon: ScriptedDaemon, end: Callable[[Peer], None], cause: Cause, detail: str
) -> None:
    """The question is not read by the daemon: that is what resets a connection."""
    asked = asyncio.Event()

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        await asked.wait()
        end(peer)

    async with playing(daemon, script):
        link = await open_link([daemon.path])
        link.ask(ListConsoles(0))
        asked.set()
        why = await link.serve(lambda _: None)
        assert told(why) == (cause, Phase.CONNECTION, sentence(cause, detail=detail))
        await link.close()


async def test_a_daemon_that_hangs_up_is_lost_without_a_detail(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        (await daemon.accept()).close()

    async with playing(daemon, script):
        link = await open_link([daemon.path])
        why = await link.serve(lambda _: None)
        assert told(why) == (Cause.SERVER_LOST, Phase.CONNECTION, sentence(Cause.SERVER_LOST))
        await link.close()


class TestBySsh:
    async def test_it_may_take_its_time_until_the_daemon_greets_and_then_to_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, graces: list[float]
    ) -> None:
        monkeypatch.setenv("VIRTMUX_SSH", saying(tmp_path, encode(HELLO), first="sleep 0.1"))
        monkeypatch.setattr("virtmux.link.GREETING_S", 0.0)
        link = await open_link([FAR])
        assert link.software == "scripted"
        await link.close()
        assert graces == [CLOSING_S]

    async def test_what_greets_as_no_daemon_does_is_not_from_one_and_ended_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, graces: list[float]
    ) -> None:
        monkeypatch.setenv("VIRTMUX_SSH", saying(tmp_path, b"Welcome to far\n"))
        with pytest.raises(virtmux.ConnectionLost, match="what comes from far is not from virtmux"):
            await open_link([FAR])
        assert graces == [0]

    async def test_a_daemon_that_has_greeted_may_break_the_protocol_there_as_well(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VIRTMUX_SSH", saying(tmp_path, encode(HELLO) + encode(Done(9))))
        with pytest.raises(virtmux.ConnectionLost) as lost:
            await open_link([FAR])
        assert lost.value.reason.cause is Cause.PROTOCOL_ERROR

    @pytest.mark.parametrize("again", [False, True])
    async def test_why_there_is_no_connection_is_what_ssh_says_which_asks_for_nothing_when_it_is_made_again(
        self, monkeypatch: pytest.MonkeyPatch, again: bool
    ) -> None:
        monkeypatch.setenv("VIRTMUX_SSH", REPEATING)
        with pytest.raises(virtmux.ConnectionLost, match="no connection to far: -T -o ") as lost:
            await open_link([FAR], again=again)
        assert ("-o BatchMode=yes" in str(lost.value)) == again
