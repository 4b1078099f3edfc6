"""Access rules for tests of what a client of the service may do."""

from typing import Any

from tests.harness.consoles import OTHER_UUID, Consoles
from tests.harness.served import Peer
from virtmux.messages import Refused
from virtmux.reasons import Cause
from virtmuxd.core.access import AccessRules, Right, Rule

WATCH = frozenset({Right.WATCH})
TYPING = WATCH | {Right.TYPE}


def rules(*allowed: tuple[str, frozenset[Right]]) -> AccessRules:
    """For everybody: at consoles that the glob fits, these."""
    nobody: frozenset[int] = frozenset()
    return AccessRules([Rule(nobody, nobody, True, (glob,), rights) for glob, rights in allowed], ())


def everywhere(*rights: Right) -> AccessRules:
    """For everybody: at all consoles, these."""
    return rules(("*", frozenset(rights)))


def two_consoles() -> Consoles:
    """Two consoles, web1 and web2."""
    consoles = Consoles()
    consoles.add()
    consoles.add("web2", uuid=OTHER_UUID)
    return consoles


async def reviewed(peer: Peer, access: AccessRules) -> None:
    """A reload puts these rules into force."""
    peer.hall.access = access
    peer.hall.clients.review()


async def refusal(peer: Peer, request: Any) -> str:
    """The text with which it is refused that something is not allowed."""
    await peer.say(request)
    refused = await peer.until(Refused)
    assert (refused.id, refused.reason.cause) == (request.id, Cause.ACCESS_DENIED)
    return refused.reason.text
