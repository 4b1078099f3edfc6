"""Who may type: one alone or everybody, by a token that outlives a lost connection, and never without a word."""

from collections import Counter
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.placed import not_evicted, unheard
from virtmux.people import Companion, Person, Role
from virtmux.reasons import Cause
from virtmuxd.core.cursor import Cursor
from virtmuxd.core.place import Place
from virtmuxd.core.roles import MAX_COMPANY, NO_WISH, Change, Roles, TakenError, Wish
from virtmuxd.core.writer import Writer

EXCLUSIVE = Wish(exclusive=True)
STEALING = Wish(exclusive=True, steal=True)
ORDER = (Role.EXCLUSIVE, Role.WRITER, Role.WATCHER, Role.READ_ONLY)


def roles() -> Roles:
    numbers = count(1)
    return Roles(lambda: f"token {next(numbers)}")


def place(name: str, *, read_only: bool = False, kind: type[Place] = Place) -> Place:
    writer = Writer(unheard, Cause.ACCESS_DENIED if read_only else None)
    return kind(Cursor(0, 0, unheard), writer, not_evicted, who=Person(len(name), name, 1000, 4711))


def test_everybody_may_type_who_does_not_only_want_to_watch() -> None:
    here, alice, bob, eve = roles(), place("alice"), place("bob"), place("eve", read_only=True)
    assert [here.enter(each) for each in (alice, bob, eve)] == [[], [], []]
    assert [each.role for each in (alice, bob, eve)] == [Role.WRITER, Role.WRITER, Role.READ_ONLY]
    assert [each.token for each in (alice, bob, eve)] == [None, None, None]


def test_where_one_is_exclusive_the_others_watch_and_learn_by_whom() -> None:
    here, alice, bob, carol, eve = roles(), place("alice"), place("bob"), place("carol"), place("eve", read_only=True)
    here.enter(eve)
    here.enter(alice)

    assert here.enter(bob, EXCLUSIVE) == [Change(alice, bob.who)]
    here.enter(carol)

    assert (alice.role, alice.by) == (carol.role, carol.by) == (Role.WATCHER, bob.who)
    assert (bob.role, bob.token, bob.by) == (Role.EXCLUSIVE, "token 1", None)
    assert (eve.role, eve.by) == (Role.READ_ONLY, None)


def test_who_wants_it_exclusively_too_is_told_who_has_it() -> None:
    here, alice, bob = roles(), place("alice"), place("bob")
    here.enter(alice, EXCLUSIVE)
    with pytest.raises(TakenError, match="alice") as taken:
        here.enter(bob, EXCLUSIVE)
    assert taken.value.by == alice.who
    assert list(here) == [alice]


def test_who_steals_it_has_it_and_the_other_watches_and_learns_by_whom() -> None:
    here, alice, bob = roles(), place("alice"), place("bob")
    here.enter(alice, EXCLUSIVE)
    assert here.enter(bob, STEALING) == [Change(alice, bob.who)]
    assert (alice.role, alice.token, alice.by) == (Role.WATCHER, None, bob.who)
    assert bob.role is Role.EXCLUSIVE


@pytest.mark.parametrize("token", [None, "of another life of the daemon"])
def test_whoever_watches_already_learns_who_has_it_now(token: str | None) -> None:
    here, alice, bob, carol = roles(), place("alice"), place("bob"), place("carol")
    here.enter(alice, EXCLUSIVE)
    here.enter(carol)
    assert here.enter(bob, STEALING._replace(token=token)) == [Change(alice, bob.who), Change(carol, bob.who)]
    assert (carol.role, carol.by) == (Role.WATCHER, bob.who)


def test_once_it_is_free_all_watchers_may_type_again() -> None:
    here, alice, bob, eve = roles(), place("alice"), place("bob"), place("eve", read_only=True)
    here.enter(alice, EXCLUSIVE)
    here.enter(bob)
    here.enter(eve)
    assert here.leave(alice) == [Change(bob, alice.who)]
    assert (bob.role, bob.by) == (Role.WRITER, None)
    assert eve.role is Role.READ_ONLY


def test_a_lost_place_keeps_its_right_until_that_expires() -> None:
    here, alice, bob = roles(), place("alice"), place("bob")
    here.enter(bob)
    here.enter(alice, EXCLUSIVE)
    assert here.expire("token 1") == [], "the place is there"
    assert here.leave(alice, lost=True) == []
    assert here.expire("token 2") == []
    assert here.expire("token 1") == [Change(bob, alice.who)]
    assert bob.role is Role.WRITER
    assert here.expire("token 1") == []


def test_who_comes_back_with_the_token_has_the_right_again_by_another() -> None:
    here, alice, again, bob = roles(), place("alice"), place("alice"), place("bob")
    here.enter(alice, EXCLUSIVE)
    here.enter(bob)
    here.leave(alice, lost=True)
    assert here.enter(again, Wish(exclusive=True, token="token 1")) == [], "to bob nothing is new"
    assert (again.role, again.token) == (Role.EXCLUSIVE, "token 2")
    assert here.expire("token 1") == []
    assert again.role is Role.EXCLUSIVE


def test_who_comes_back_before_the_old_connection_is_known_to_be_lost_displaces_itself() -> None:
    here, alice, again = roles(), place("alice"), place("alice")
    here.enter(alice, EXCLUSIVE)
    here.enter(again, Wish(exclusive=True, token="token 1"))
    assert here.leave(alice, lost=True) == []
    assert (again.role, again.token) == (Role.EXCLUSIVE, "token 2")


def test_who_comes_back_to_a_stolen_console_watches_and_learns_by_whom() -> None:
    here, alice, bob, again = roles(), place("alice"), place("bob"), place("alice")
    here.enter(alice, EXCLUSIVE)
    here.leave(alice, lost=True)
    here.enter(bob, STEALING)
    assert here.enter(again, Wish(exclusive=True, token="token 1")) == []
    assert (again.role, again.by) == (Role.WATCHER, bob.who)


def test_a_token_that_nobody_knows_is_as_none_where_the_console_is_free() -> None:
    here, alice = roles(), place("alice")
    here.enter(alice, Wish(exclusive=True, token="of another life of the daemon"))
    assert alice.role is Role.EXCLUSIVE


def test_who_has_it_alone_is_somebody_else_to_all_who_do_not_bring_the_token() -> None:
    here, alice = roles(), place("alice")
    assert here.owner_but(None) is here.owner_but("token 1") is None
    here.enter(alice, EXCLUSIVE)
    here.leave(alice, lost=True)

    assert here.owner_but("token 1") is None
    assert here.owner_but(None) is here.owner_but("token 2") is alice.who


def test_a_right_that_was_stolen_does_not_expire_for_the_thief() -> None:
    here, alice, bob = roles(), place("alice"), place("bob")
    here.enter(alice, EXCLUSIVE)
    here.leave(alice, lost=True)
    here.enter(bob, STEALING)
    assert here.expire("token 1") == []
    assert bob.role is Role.EXCLUSIVE


def test_company_is_told_with_those_who_may_type_first_and_not_all_of_many() -> None:
    here, alice, eve = roles(), place("alice"), place("eve", read_only=True)
    others = [place("bob") for _ in range(MAX_COMPANY)]
    for each in (eve, alice, *others):
        here.enter(each)

    named, more = here.others(alice)

    assert named == [Companion(each.who, Role.WRITER) for each in others]
    assert more == 1
    assert here.others(others[0])[1] == 1
    few = roles()
    few.enter(alice)
    assert few.others(alice) == ([], 0)


def test_who_is_named_of_many_is_found_out_once_for_all_who_are_told() -> None:
    here, looked_at = roles(), Counter[str]()

    class Watched(Place):
        def __getattribute__(self, name: str) -> Any:
            looked_at[name] += 1
            return super().__getattribute__(name)

    many = [place("eve", read_only=True, kind=Watched) for _ in range(200)]
    for each in many:
        here.enter(each)
    looked_at.clear()

    for each in many:
        here.others(each)

    assert looked_at["role"] < len(many) * 2 * MAX_COMPANY


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["enter", "exclusive", "steal", "token", "leave", "lose", "expire"]), st.integers(0, 3)
        )
    )
)
def test_at_most_one_may_type_alone_and_nobody_changes_without_a_word(steps: list[tuple[str, int]]) -> None:
    here = roles()
    places: dict[int, Place] = {}
    tokens: dict[int, str] = {}
    for step, number in steps:
        before = {each: (each.role, each.by) for each in here}
        changes: list[Change] = []
        match step:
            case "leave" | "lose" if number in places:
                changes = here.leave(places.pop(number), lost=step == "lose")
            case "expire" if number in tokens:
                changes = here.expire(tokens[number])
            case "enter" | "exclusive" | "steal" | "token" if number not in places:
                new = place(str(number))
                token = tokens.get(number) if step == "token" else None
                try:
                    changes = here.enter(new, NO_WISH if step == "enter" else Wish(True, step == "steal", token))
                except TakenError:
                    continue
                places[number] = new
                if new.token is not None:
                    tokens[number] = new.token
        told = {change.place for change in changes}
        changed = {each for each in here if each in before and (each.role, each.by) != before[each]}
        assert changed <= told <= {each for each in before if each.role is not Role.READ_ONLY}
        alone = [each for each in here if each.role is Role.EXCLUSIVE]
        assert len(alone) <= 1
        assert all(each.role is Role.WATCHER for each in here if each not in alone) or not alone
        assert all((each.by is not None) == (each.role is Role.WATCHER) for each in here)
        for each in here:
            others = sorted((other for other in here if other is not each), key=lambda other: ORDER.index(other.role))
            assert here.others(each) == ([Companion(other.who, other.role) for other in others], 0)


# Where what somebody may do changes.


def test_who_may_type_no_more_is_read_only_until_that_is_given_back() -> None:
    here, alice = roles(), place("alice")
    here.enter(alice)

    before = here.permit(alice, types=False, alone=False), alice.role
    again = here.permit(alice, types=False, alone=False), alice.role
    after = here.permit(alice, types=True, alone=False), alice.role

    assert before == ([Change(alice, None)], Role.READ_ONLY)
    assert again == ([], Role.READ_ONLY)
    assert after == ([Change(alice, None)], Role.WRITER)
    assert here.permit(alice, types=True, alone=True) == []


def test_who_may_type_again_watches_while_somebody_is_exclusive() -> None:
    here, alice, bob = roles(), place("alice", read_only=True), place("bob")
    here.enter(alice)
    here.enter(bob, EXCLUSIVE)

    assert here.permit(alice, types=True, alone=True) == [Change(alice, bob.who)]
    assert (alice.role, alice.by) == (Role.WATCHER, bob.who)


@pytest.mark.parametrize(("types", "role"), [(True, Role.WRITER), (False, Role.READ_ONLY)])
def test_an_exclusive_place_ends_with_its_right_and_the_others_may_type(*, types: bool, role: Role) -> None:
    here, alice, bob, eve = roles(), place("alice"), place("bob"), place("eve", read_only=True)
    for each, wish in ((alice, EXCLUSIVE), (bob, NO_WISH), (eve, NO_WISH)):
        here.enter(each, wish)
    token = alice.token

    assert here.permit(alice, types=types, alone=False) == [Change(alice, None), Change(bob, alice.who)]
    assert [each.role for each in (alice, bob, eve)] == [role, Role.WRITER, Role.READ_ONLY]
    assert (alice.token, bob.by) == (None, None)
    assert here.expire(token or "") == []


def test_who_has_no_place_is_not_concerned() -> None:
    here, alice = roles(), place("alice")
    assert here.permit(alice, types=False, alone=False) == []
