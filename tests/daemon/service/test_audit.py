"""The audit: whatever a client does, and what it may not do, is a record; what it types is only counted."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.harness.consoles import URI, UUID, Consoles
from tests.harness.logged import Audited
from tests.harness.served import UID, empty_library, served
from virtmux.journal.directory import Journal
from virtmux.messages import (
    Attach,
    Detach,
    Done,
    Forget,
    Histories,
    InputStatus,
    Kick,
    Place,
    PlaceEnded,
    Reclaim,
    Refused,
    Release,
    Who,
)
from virtmux.people import Person
from virtmux.reasons import Cause
from virtmuxd.core.access import USE, AccessRules, Right, Rule
from virtmuxd.core.events import Policy
from virtmuxd.core.registry import Registry
from virtmuxd.service import audit as audit_module
from virtmuxd.service.audit import Audit
from virtmuxd.service.callers import Origin
from virtmuxd.service.clients import Clients
from virtmuxd.service.journal.readers import Readers
from virtmuxd.service.library import Library

WEB1 = {"uri": URI, "domain": "web1", "uuid": UUID, "device": "serial0"}
CONSOLE = tuple(WEB1.values())


@pytest.fixture
def audited(caplog: pytest.LogCaptureFixture) -> Audited:
    return Audited(caplog)


def allowing(*rights: Right) -> AccessRules:
    """Everybody may do these everywhere."""
    nobody: frozenset[int] = frozenset()
    return AccessRules([Rule(nobody, nobody, True, ("*",), frozenset(rights))], ())


def attached() -> Consoles:
    """A console that is held."""
    consoles = Consoles(policy=Policy.ALWAYS)
    consoles.add().attach()
    return consoles


def test_a_record_says_who_it_was(caplog: pytest.LogCaptureFixture) -> None:
    who = Person(7, "alice", 1000, 4711)
    with caplog.at_level(logging.INFO, "virtmuxd.audit"):
        Audit(who, Origin("virtmux", "session-3.scope"), read_only=True).kicked(Person(8, "bob", 1001, 4712))
    facts = vars(caplog.records[-1])
    assert (
        facts.items()
        >= {
            "client": 7,
            "user": "alice",
            "uid": 1000,
            "pid": 4711,
            "command": "virtmux",
            "unit": "session-3.scope",
            "read_only": True,
            "other_client": 8,
            "other_user": "bob",
            "other_uid": 1001,
        }.items()
    )
    assert (caplog.records[-1].name, caplog.records[-1].levelname) == ("virtmuxd.audit", "INFO")


async def test_a_place_has_its_begin_its_bytes_and_its_end(audited: Audited, caplog: pytest.LogCaptureFixture) -> None:
    consoles = attached()
    async with served(consoles.registry) as peer:
        await peer.greet()
        handle = (await peer.placed()).info.console
        await peer.put(handle, 1, 0, b"secret")
        await peer.put(handle, 1, 6, b" word")
        await peer.say(Detach(2, handle))
        await peer.until(Done)
    assert audited("uri", "domain", "uuid", "device", "uid", "role", "bytes", "cause") == [
        ("attach", *CONSOLE, UID, "writer", None, None),
        ("input", *CONSOLE, UID, None, 11, None),
        ("detach", *CONSOLE, UID, None, 11, Cause.DETACHED),
    ]
    assert not any("secret" in str(vars(record)) for record in caplog.records)


async def test_where_nothing_was_typed_there_is_no_record_of_it(audited: Audited) -> None:
    consoles = attached()
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.placed(read_only=True)
    assert audited("role", "bytes", "cause") == [
        ("attach", "read-only", None, None),
        ("detach", None, 0, Cause.DETACHED),
    ]


async def test_while_a_client_types_it_is_told_now_and_then(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "_TYPING", 0.01)
    consoles = attached()
    async with served(consoles.registry) as peer:
        await peer.greet()
        handle = (await peer.placed()).info.console
        for number in range(3):
            await peer.put(handle, 1, 2 * number, b"ab")
            async with asyncio.timeout(10):
                while len(audited()) < 2 + number:
                    await asyncio.sleep(0.001)
    assert audited("bytes")[1:] == [("input", 2), ("input", 2), ("input", 2), ("detach", 6)]


async def test_a_place_that_is_taken_away_says_why(audited: Audited) -> None:
    consoles = attached()
    async with served(consoles.registry, access=allowing(*USE)) as peer:
        await peer.greet()
        await peer.placed()
        peer.hall.access = allowing(Right.HISTORY)
        peer.hall.clients.review()
        await peer.until(PlaceEnded)
        assert audited("right", "domain", "cause")[1:] == [
            ("deny", "watch", "web1", None),
            ("detach", None, "web1", Cause.ACCESS_DENIED),
        ]


@pytest.mark.parametrize(
    ("request_", "right"),
    [
        (Attach(9, "web1", force=True), "force"),
        (Attach(9, "web1", exclusive=True), "type"),
        (Release(9, "web1"), "release"),
        (Reclaim(9, "web1"), "release"),
        (Forget(9, "web1"), "forget"),
    ],
)
async def test_what_is_denied_is_a_warning_that_names_the_right(
    audited: Audited, caplog: pytest.LogCaptureFixture, request_: Any, right: str
) -> None:
    consoles = attached()
    async with served(consoles.registry, access=allowing(Right.WATCH)) as peer:
        await peer.greet()
        await peer.say(request_)
        refused = await peer.until(Refused)
    assert audited("right", "domain", "reason") == [("deny", right, "web1", refused.reason.text)]
    assert [record.levelname for record in caplog.records if record.name == "virtmuxd.audit"] == ["WARNING"]


async def test_who_may_do_nothing_is_denied_once(audited: Audited) -> None:
    async with served(Consoles().registry, access=allowing()) as peer:
        reason = await peer.goodbye()
    assert audited("right", "reason") == [("deny", None, reason.text)]


async def test_input_that_is_not_allowed_is_denied_once(audited: Audited) -> None:
    consoles = attached()
    async with served(consoles.registry, access=allowing(Right.WATCH)) as peer:
        await peer.greet()
        handle = (await peer.placed()).info.console
        for number in range(3):
            await peer.put(handle, 1, number, b"x")
            await peer.until(InputStatus)
    assert audited("right", "bytes") == [("attach", None, None), ("deny", "type", None), ("detach", None, 0)]


async def test_input_that_the_client_itself_did_not_want_to_give_is_no_denial(audited: Audited) -> None:
    consoles = attached()
    async with served(consoles.registry) as peer:
        await peer.greet()
        handle = (await peer.placed(read_only=True)).info.console
        await peer.put(handle, 1, 0, b"x")
        await peer.until(InputStatus)
    assert audited() == [("attach",), ("detach",)]


async def test_a_right_that_was_stolen_names_both(audited: Audited) -> None:
    consoles, clients = attached(), Clients()
    async with (
        served(consoles.registry, clients=clients) as alice,
        served(consoles.registry, clients=clients, user="bob") as bob,
    ):
        for peer in (alice, bob):
            await peer.greet()
        await alice.placed(exclusive=True)
        await bob.say(Attach(1, "web1", exclusive=True, steal=True))
        await bob.until(Place)
        assert audited("user", "domain", "role", "other_user", "other_client") == [
            ("attach", "alice", "web1", "exclusive", None, None),
            ("attach", "bob", "web1", "exclusive", None, None),
            ("steal", "bob", "web1", None, "alice", 1),
        ]


async def test_who_steals_from_nobody_or_gets_its_own_right_again_steals_nothing(audited: Audited) -> None:
    consoles, clients = attached(), Clients()
    async with served(consoles.registry, clients=clients) as first:
        await first.greet()
        token = (await first.placed(exclusive=True, steal=True)).token
        async with served(consoles.registry, clients=clients) as again:
            await again.greet()
            await again.say(Attach(1, "web1", exclusive=True, steal=True, token=token))
            await again.until(Place)
            assert audited() == [("attach",), ("attach",)]


async def test_a_forced_opening_is_told(audited: Audited) -> None:
    consoles = attached()
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Attach(1, "web1", force=True), Who(2))
        await peer.until(Done)
        assert audited("domain") == [("attach", "web1"), ("force", "web1")]


async def test_who_sends_whom_away_is_told(audited: Audited) -> None:
    consoles, clients = attached(), Clients()
    async with (
        served(consoles.registry, clients=clients) as alice,
        served(consoles.registry, clients=clients, user="bob") as bob,
    ):
        for peer in (alice, bob):
            await peer.greet()
        await alice.say(Kick(1, 2), Kick(2, 77))
        await bob.goodbye()
        await alice.until(Refused)
    assert audited("user", "other_user", "other_client") == [("kick", "alice", "bob", 2)]


async def test_a_kick_that_is_denied_names_whom_it_was_for(audited: Audited) -> None:
    consoles = attached()
    async with served(consoles.registry, access=allowing(*USE)) as peer:
        await peer.greet()
        await peer.say(Kick(1, 1))
        await peer.until(Refused)
    assert audited("right", "other_client") == [("deny", "kick", 1)]


async def test_a_release_and_its_end_are_told(audited: Audited) -> None:
    consoles = Consoles()
    consoles.add()
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Release(1, "web1", seconds=5.0), Reclaim(2, "web1"), Release(3, "web1", while_connected=True))
        for _ in range(3):
            await peer.until(Done)
    assert audited("domain", "seconds", "while_connected") == [
        ("release", "web1", 5.0, False),
        ("reclaim", "web1", None, None),
        ("release", "web1", None, True),
        ("reclaim", "web1", None, None),
    ]


@pytest.mark.parametrize("error", [None, OSError(5, "Input/output error")])
async def test_what_is_forgotten_is_told_also_where_not_all_could_be(audited: Audited, error: OSError | None) -> None:
    consoles = attached()

    def library(registry: Registry) -> Library:
        return Library(registry, Journal(Path("/nonexistent")), Readers(), lambda _key, then: then(error))

    async with served(consoles.registry, library(consoles.registry)) as peer:
        await peer.greet()
        await peer.say(Forget(1, "web1", device="serial0"))
        await peer.until(Done if error is None else Refused)
    said = None if error is None else "[Errno 5] Input/output error"
    assert audited("domain", "device", "uri", "error") == [("forget", "web1", "serial0", None, said)]


async def test_where_there_is_nothing_nothing_is_forgotten(audited: Audited) -> None:
    registry = Consoles().registry
    async with served(registry, empty_library(registry)) as peer:
        await peer.greet()
        await peer.say(Forget(1, "web1"), Histories(2, "web1"))
        await peer.until(Refused)
    assert audited() == []
