"""Who may do what: the first rule that is for a person and a console decides."""

import pytest

from virtmuxd.core.access import ALL, NOTHING, USE, Access, AccessRules, Identity, Right, Rule, names

WATCH = frozenset({Right.WATCH})


def rule(
    *globs: str, uids: frozenset[int] | None = None, gids: frozenset[int] | None = None, allow: frozenset[Right] = WATCH
) -> Rule:
    return Rule(uids or frozenset(), gids or frozenset(), uids is gids is None, globs or ("*",), allow)


def access(*rules: Rule, uid: int = 1000, gids: frozenset[int] = frozenset({100})) -> Access:
    return AccessRules(rules, {0}).of(Identity(uid, gids))


def test_a_master_may_do_everything_whatever_the_rules_say() -> None:
    root = access(rule(allow=NOTHING), uid=0)

    assert (root.at("web1", "serial0"), root.everywhere(), root.is_any) == (ALL, ALL, True)


def test_who_no_rule_is_for_may_do_nothing() -> None:
    nobody = access(rule(uids=frozenset({7})), rule(gids=frozenset({8})))

    assert (nobody.at("web1", "serial0"), nobody.everywhere(), nobody.is_any) == (NOTHING, NOTHING, False)


@pytest.mark.parametrize(
    "mine", [rule(), rule(uids=frozenset({1000, 7})), rule(gids=frozenset({100})), rule(uids=frozenset({1000}))]
)
def test_a_rule_is_for_everybody_or_for_users_or_for_members_of_groups(mine: Rule) -> None:
    assert access(mine).at("web1", "serial0") == WATCH


def test_a_rule_with_users_and_groups_is_for_both() -> None:
    both = rule(uids=frozenset({7}), gids=frozenset({100}))

    assert access(both).at("web1", "serial0") == WATCH
    assert access(both, uid=7, gids=frozenset()).at("web1", "serial0") == WATCH
    assert access(both, uid=8, gids=frozenset()).at("web1", "serial0") == NOTHING


def test_the_first_rule_that_fits_decides_alone() -> None:
    mine = access(rule("ci-*", allow=USE), rule("ci-*", "db1", allow=ALL), rule("prod-*", allow=NOTHING), rule())

    assert mine.at("ci-1", "serial0") == USE
    assert mine.at("db1", "serial0") == ALL
    assert mine.at("prod-1", "serial0") == NOTHING
    assert mine.at("web1", "serial0") == WATCH


def test_a_rule_for_one_console_is_not_for_another_of_its_domain_nor_for_all_of_it() -> None:
    mine = access(rule("web1:serial1", allow=USE), rule())

    assert mine.at("web1", "serial1") == USE
    assert mine.at("web1", "serial0") == mine.at("web1", None) == WATCH


@pytest.mark.parametrize(
    ("glob", "domain", "device", "meant"),
    [
        ("web*", "web1", "serial0", True),
        ("web*", "web1", None, True),
        ("web1:serial0", "web1", "serial0", True),
        ("web1:serial0", "web1", "serial1", False),
        ("web1:serial0", "web1", None, False),
        ("web1:*", "web1", None, False),
        ("*:serial1", "web1", "serial1", True),
        ("a:b", "a:b", None, True),
        ("WEB1", "web1", None, False),
    ],
)
def test_a_glob_is_for_consoles_or_for_whole_domains(glob: str, domain: str, device: str | None, meant: bool) -> None:
    assert names(glob, domain, device) is meant


def test_what_is_allowed_everywhere_is_what_no_rule_before_the_one_for_all_denies() -> None:
    assert access(rule(allow=USE), rule("x", allow=NOTHING)).everywhere() == USE
    assert access(rule("prod-*", allow=WATCH), rule(allow=USE)).everywhere() == WATCH
    assert access(rule("prod-*", allow=ALL)).everywhere() == NOTHING


def test_rules_that_say_the_same_have_the_same_fingerprint_and_others_another() -> None:
    def fingerprint(*rules: Rule) -> bytes:
        return AccessRules(rules, {0}).fingerprint

    many = frozenset(range(100))
    assert fingerprint(rule(uids=many)) == fingerprint(rule(uids=frozenset(sorted(many, reverse=True))))
    others = [rule(), rule("x"), rule(allow=USE), rule(uids=many), rule(gids=many)]
    assert len({fingerprint(each) for each in others} | {fingerprint(), fingerprint(*others)}) == len(others) + 2


def test_a_rule_that_allows_nothing_is_no_right() -> None:
    assert not access(rule(allow=NOTHING)).is_any
    assert access(rule(allow=NOTHING), rule("x")).is_any
