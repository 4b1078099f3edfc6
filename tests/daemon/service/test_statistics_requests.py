"""A client is told what the daemon counts and measures, also by the socket that is only to watch."""

import pytest

from tests.harness.consoles import HYPERVISOR, START, URI, Consoles
from tests.harness.scraping import Scraped
from tests.harness.served import Peer, served
from virtmux.messages import MAX_PIECE, Done, MetricsText, OpenMetrics, State, StatisticsMessage, Status
from virtmuxd.core.access import AccessRules, Right, Rule
from virtmuxd.core.events import Policy


def with_consoles(number: int) -> Consoles:
    consoles = Consoles(policy=Policy.ALWAYS)
    consoles.registry.serve(URI, START)
    consoles.registry.identified(HYPERVISOR + URI, URI)
    for each in range(number):
        consoles.add(f"guest{each}", uuid=str(each)).attach()
    return consoles


async def text(peer: Peer, request: int) -> list[str]:
    """The pieces of an answer."""
    pieces = []
    while isinstance(heard := await peer.hear(), MetricsText):
        assert heard.id == request
        pieces.append(heard.text)
    assert heard == Done(request)
    return pieces


@pytest.mark.parametrize("read_only", [False, True])
async def test_the_status_is_one_message(read_only: bool) -> None:
    async with served(with_consoles(2).registry, read_only=read_only) as peer:
        await peer.greet()
        await peer.say(Status(7))
        told = await peer.expect(StatisticsMessage)
        assert (told.id, told.info.consoles[State.ATTACHED], told.info.clients) == (7, 2, 1)
        assert await peer.expect(Done) == Done(7)


async def test_the_metrics_come_in_pieces_that_make_the_whole_text() -> None:
    async with served(with_consoles(100).registry, read_only=True) as peer:
        await peer.greet()
        await peer.say(OpenMetrics(1), OpenMetrics(2))
        for request in (1, 2):
            pieces = await text(peer, request)
            assert {len(piece) for piece in pieces[:-1]} == {MAX_PIECE}
            assert len(list(Scraped("".join(pieces)).all("virtmux_console_attached"))) == 100


async def test_a_piece_fits_into_a_message_whatever_guests_are_called() -> None:
    consoles = with_consoles(0)
    for each in range(50):
        consoles.add("\x01" * 1000, uuid=str(each), device=str(each))
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(OpenMetrics(1))
        assert len(await text(peer, 1)) > 50


@pytest.mark.parametrize(("glob", "told"), [("*", 3), ("guest*", 0)])
async def test_single_consoles_are_told_of_to_those_who_may_watch_all(glob: str, told: int) -> None:
    nobody: frozenset[int] = frozenset()
    access = AccessRules([Rule(nobody, nobody, True, (glob,), frozenset({Right.WATCH}))], ())
    async with served(with_consoles(3).registry, access=access) as peer:
        await peer.greet()
        await peer.say(OpenMetrics(1))
        scraped = Scraped("".join(await text(peer, 1)))
    assert len(list(scraped.all("virtmux_console_attached"))) == told
    assert scraped("virtmux_consoles", state="attached") == 3
