"""What a client asks about letting consoles go, and what becomes of that when it is gone."""

import pytest

from tests.harness.consoles import RUNNING_ID, Bench, Consoles, always
from tests.harness.served import everything_taken, served
from virtmux.messages import (
    Done,
    Reclaim,
    Refused,
    Release,
)
from virtmux.reasons import Cause
from virtmuxd.core.events import Event as Happened
from virtmuxd.core.events import Lent, Reclaimed, Released, Up
from virtmuxd.service import releases


class Asked:
    """What a console was asked for, in place of doing it."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.until: int | None = None
        self._handle_event = bench.console.handle_event
        monkeypatch.setattr(bench.console, "handle_event", self._take)

    def _take(self, event: Happened) -> None:
        match event:
            case Released(at, until):
                self.calls.append("release")
                self.until = None if until is None else until - at
            case Reclaimed():
                self.calls.append("reclaim")
            case Lent(lent=lent):
                self.calls.append("step_aside" if lent else "step_back")
            case _:
                self._handle_event(event)


def opening(monkeypatch: pytest.MonkeyPatch) -> tuple[Consoles, Bench, Asked]:
    """A console that is being opened, which takes as long as the test likes."""
    consoles = always()
    bench = consoles.add()
    asked = Asked(bench, monkeypatch)
    bench.happen(Up(bench.tick(), RUNNING_ID))
    return consoles, bench, asked


@pytest.mark.parametrize(("seconds", "until"), [(None, None), (1.5, 1_500_000_000)])
async def test_a_release_lasts_for_its_time_and_a_reclaim_ends_it(
    monkeypatch: pytest.MonkeyPatch, seconds: float | None, until: int | None
) -> None:
    consoles = Consoles()
    asked = Asked(consoles.add(), monkeypatch)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Release(1, "web1", seconds=seconds))
        assert await peer.expect(Done) == Done(1)
        assert (asked.calls, asked.until) == (["release"], until)
        await peer.say(Reclaim(2, "web1"))
        assert await peer.expect(Done) == Done(2)
    assert asked.calls == ["release", "reclaim"]


async def test_a_release_while_connected_ends_with_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    consoles = Consoles()
    asked = Asked(consoles.add(), monkeypatch)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Release(1, "web1", while_connected=True), Release(2, "web1", while_connected=True))
        assert [await peer.expect(Done) for _ in range(2)] == [Done(1), Done(2)]
        assert asked.calls == ["step_aside"]
        peer.socket.close()
        await peer.ended()
    assert asked.calls == ["step_aside", "step_back"]


async def test_or_with_as_many_reclaims_as_there_were_releases(monkeypatch: pytest.MonkeyPatch) -> None:
    consoles = Consoles()
    asked = Asked(consoles.add(), monkeypatch)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Release(1, "web1", while_connected=True), Release(2, "web1", while_connected=True))
        await peer.say(Reclaim(3, "web1", while_connected=True))
        assert [await peer.expect(Done) for _ in range(3)] == [Done(1), Done(2), Done(3)]
        assert asked.calls == ["step_aside"]
        await peer.say(Reclaim(4, "web1", while_connected=True))
        assert await peer.expect(Done) == Done(4)
        assert asked.calls == ["step_aside", "step_back"]


async def test_or_with_its_reclaim_and_no_other_release_does(monkeypatch: pytest.MonkeyPatch) -> None:
    consoles = Consoles()
    asked = Asked(consoles.add(), monkeypatch)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Release(1, "web1", while_connected=True))
        await peer.say(*(Reclaim(request, "web1", while_connected=True) for request in (2, 3)))
        assert [await peer.expect(Done) for _ in range(3)] == [Done(1), Done(2), Done(3)]
    assert asked.calls == ["step_aside", "step_back"]


async def test_a_release_is_done_once_the_console_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    consoles, bench, _ = opening(monkeypatch)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Release(1, "web1"))
        await everything_taken(peer)
        bench.answer_open()
        assert await peer.expect(Done) == Done(1)


@pytest.mark.parametrize(("while_connected", "calls"), [(True, ["step_aside", "step_back"]), (False, ["release"])])
async def test_what_is_not_let_go_in_time_is_refused(
    monkeypatch: pytest.MonkeyPatch, while_connected: bool, calls: list[str]
) -> None:
    monkeypatch.setattr(releases, "_DEADLINE", 0.05)
    consoles, bench, asked = opening(monkeypatch)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Release(1, "web1", while_connected=while_connected))
        refused = await peer.expect(Refused)
        assert (refused.id, refused.reason.cause) == (1, Cause.HYPERVISOR_TIMEOUT)
        assert "not let go within 0.05 s" in refused.reason.text
        assert asked.calls == calls
        bench.answer_open()
        await everything_taken(peer)
    assert asked.calls == calls


async def test_one_that_was_reclaimed_and_is_refused_then_leaves_a_later_one_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(releases, "_DEADLINE", 0.05)
    consoles, bench, asked = opening(monkeypatch)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Release(1, "web1", while_connected=True), Reclaim(2, "web1", while_connected=True))
        assert await peer.expect(Done) == Done(2)
        monkeypatch.setattr(releases, "_DEADLINE", 30.0)
        await peer.say(Release(3, "web1", while_connected=True))
        assert (await peer.expect(Refused)).id == 1
        assert asked.calls == ["step_aside", "step_back", "step_aside"]
        bench.answer_open()
        assert await peer.expect(Done) == Done(3)
        assert asked.calls == ["step_aside", "step_back", "step_aside"]


async def test_so_many_releases_of_a_client_may_wait_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "MOST", 3)
    consoles, bench, asked = opening(monkeypatch)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(*(Release(request, "web1") for request in range(1, 5)))
        refused = await peer.expect(Refused)
        assert (refused.id, refused.reason.cause) == (4, Cause.PROTOCOL_ERROR)
        assert "3 releases of this client wait" in refused.reason.text
        bench.answer_open()
        assert [await peer.expect(Done) for _ in range(3)] == [Done(1), Done(2), Done(3)]
        assert asked.calls == ["release"] * 3
        await peer.say(Release(5, "web1"))
        assert await peer.expect(Done) == Done(5)


@pytest.mark.parametrize("request_", [Release(1, "web1"), Release(1, "web1", while_connected=True), Reclaim(1, "web1")])
async def test_who_may_only_watch_releases_nothing(
    monkeypatch: pytest.MonkeyPatch, request_: Release | Reclaim
) -> None:
    consoles = Consoles()
    asked = Asked(consoles.add(), monkeypatch)
    async with served(consoles.registry, read_only=True) as peer:
        await peer.greet()
        await peer.say(request_)
        assert (await peer.expect(Refused)).reason.cause is Cause.ACCESS_DENIED
    assert asked.calls == []


async def test_a_bug_in_answering_a_release_ends_that_client_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "_DEADLINE", 0.05)
    monkeypatch.setattr(releases.Releases, "_give_back", lambda *_: 1 // 0)
    consoles = always()
    bench = consoles.add()
    bench.happen(Up(bench.tick(), RUNNING_ID))
    async with served(consoles.registry) as peer, served(consoles.registry) as other:
        await peer.greet()
        await other.greet()
        await peer.say(Release(1, "web1", while_connected=True))
        assert (await peer.goodbye()).cause is Cause.INTERNAL_ERROR
        await everything_taken(other)


async def test_a_console_that_does_not_exist_cannot_be_released() -> None:
    async with served(Consoles().registry) as peer:
        await peer.greet()
        await peer.say(Release(1, "web1"))
        assert (await peer.expect(Refused)).reason.cause is Cause.CONSOLE_MISSING
