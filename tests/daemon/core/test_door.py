"""Who may come in, by number."""

from contextlib import ExitStack

from virtmuxd.core.door import Door
from virtmuxd.core.limits import LimitRules, LimitsInForce

ALICE, BOB, ROOT = 1000, 1001, 0


def test_each_user_has_a_limit_within_that_of_all() -> None:
    door = Door(LimitsInForce(LimitRules(clients=3, clients_per_user=2)), frozenset())
    with ExitStack() as stack:
        for uid in (ALICE, ALICE, BOB):
            assert door.why_not(uid) is None
            stack.enter_context(door.inside(uid))
            if uid == ALICE:
                continue
            assert door.why_not(ALICE) == "3 clients are connected, the most that limits.clients allows"
            assert door.why_not(BOB) == door.why_not(ALICE)
    assert door.why_not(ALICE) is None


def test_of_a_users_clients_those_count_that_are_in() -> None:
    door = Door(LimitsInForce(LimitRules(clients=9, clients_per_user=2)), frozenset())
    for _ in range(2):
        with door.inside(ALICE):
            assert door.why_not(ALICE) is None
            for _ in range(2):
                with door.inside(ALICE):
                    assert door.why_not(ALICE) is not None
                assert door.why_not(ALICE) is None


def test_who_has_as_many_as_one_may_is_told_the_key() -> None:
    door = Door(LimitsInForce(LimitRules(clients=3, clients_per_user=1)), frozenset())
    with door.inside(ALICE):
        assert door.why_not(ALICE) == (
            "1 clients of uid 1000 are connected, the most that limits.clients_per_user allows"
        )
        assert door.why_not(BOB) is None


def test_who_is_exempt_is_neither_counted_nor_kept_out() -> None:
    door = Door(LimitsInForce(LimitRules(clients=1, clients_per_user=1)), frozenset({ROOT}))
    with door.inside(ROOT):
        assert door.why_not(ALICE) is None
        with door.inside(ALICE):
            assert door.why_not(ROOT) is None
            assert door.why_not(BOB) is not None


def test_limits_that_are_replaced_count_at_once_and_send_nobody_away() -> None:
    limits = LimitsInForce(LimitRules(clients=1))
    door = Door(limits, frozenset())
    with door.inside(ALICE):
        limits.rules = LimitRules(clients=2)
        assert door.why_not(BOB) is None
        with door.inside(BOB):
            limits.rules = LimitRules(clients=1)
            assert door.why_not(BOB) is not None
