"""Clients that are idle for too long."""

import asyncio
from typing import Any

from tests.harness.consoles import Consoles
from tests.harness.served import served
from virtmux.reasons import Cause, Reason
from virtmux.wire import Output
from virtmuxd.core.events import Policy
from virtmuxd.core.limits import LimitRules, LimitsInForce
from virtmuxd.service.clients import Clients
from virtmuxd.service.idle import IdleWatch


class Silent:
    """A client that was active at some time, in seconds from now."""

    def __init__(self, seconds: float) -> None:
        self.active_at = asyncio.get_running_loop().time() + seconds
        self.reasons: list[Reason] = []
        self.dismissed = asyncio.Event()

    def dismiss(self, reason: Reason) -> None:
        self.reasons.append(reason)
        self.dismissed.set()


def watching(*clients: Any, idle: float) -> tuple[IdleWatch, LimitsInForce]:
    everybody, limits = Clients(), LimitsInForce(LimitRules(idle=idle))
    for client in clients:
        everybody.add(everybody.next_number(), client)
    return IdleWatch(everybody, limits), limits


async def test_who_is_idle_for_too_long_is_sent_away_and_nobody_else() -> None:
    silent, active = Silent(-11), Silent(-9)
    watch, _ = watching(silent, active, idle=10)

    watch.look()

    assert [reason.cause for reason in silent.reasons] == [Cause.IDLE]
    assert "for 10 s, the most that limits.idle allows" in silent.reasons[0].text
    assert not active.reasons


async def test_the_next_look_is_when_the_next_one_is_due() -> None:
    soon = Silent(0.05 - 10)
    watch, _ = watching(soon, Silent(0), idle=10)

    watch.newcomer()

    async with asyncio.timeout(10):
        await soon.dismissed.wait()


async def test_without_a_limit_nobody_is_looked_at_until_a_reload_sets_one() -> None:
    silent = Silent(-1000)
    watch, limits = watching(silent, idle=0)
    watch.newcomer()
    assert not silent.reasons

    limits.rules = LimitRules(idle=1)
    watch.look()

    assert silent.reasons


async def test_a_client_that_says_and_hears_nothing_gets_a_goodbye() -> None:
    async with served(Consoles().registry, limits=LimitsInForce(LimitRules(idle=0.1))) as peer:
        await peer.greet()
        assert (await peer.goodbye()).cause is Cause.IDLE


async def test_what_is_sent_to_a_client_counts() -> None:
    consoles = Consoles(policy=Policy.ALWAYS)
    bench = consoles.add()
    bench.attach()
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.attach()
        peer.client._outgoing.active_at = peer.client._intake.active_at = 0.0
        bench.output(b"x")
        await peer.expect(Output)
        assert peer.client.active_at > 0
