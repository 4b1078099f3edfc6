"""Users and groups by name, and what the groups of the host may do where no rule says otherwise."""

import grp
import os
import pwd
from types import SimpleNamespace

import pytest

from virtmuxd.config.errors import ConfigError
from virtmuxd.config.people import SocketGroups, access_rules, group_id, log_group, missing, socket_groups
from virtmuxd.config.schema import AccessRule, Config
from virtmuxd.core.access import ALL, NOTHING, USE, Identity, Right

GROUPS = {"virtmux": 50, "virtmux-watch": 51, "ci": 52}
WATCH = frozenset({Right.WATCH})


@pytest.fixture(autouse=True)
def _host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with these groups and the user alice, whose daemon's user is 7."""
    monkeypatch.setattr(grp, "getgrnam", lambda name: SimpleNamespace(gr_gid=GROUPS[name]))
    monkeypatch.setattr(pwd, "getpwnam", lambda name: SimpleNamespace(pw_uid={"alice": 1000}[name]))
    monkeypatch.setattr(os, "geteuid", lambda: 7)


def rights(config: Config, uid: int, *gids: int) -> frozenset[Right]:
    return access_rules(config, socket_groups()).of(Identity(uid, frozenset(gids))).at("web1", "serial0")


@pytest.mark.parametrize(
    ("uid", "gids", "allowed"),
    [
        (0, (), ALL),
        (7, (), ALL),
        (1000, (50,), USE),
        (1000, (51,), WATCH),
        (1000, (51, 50), USE),
        (1000, (9,), NOTHING),
    ],
)
def test_without_rules_the_groups_of_the_host_decide(
    uid: int, gids: tuple[int, ...], allowed: frozenset[Right]
) -> None:
    assert rights(Config(), uid, *gids) == allowed


def test_what_the_daemons_user_would_do_with_rights_of_its_own_no_group_may() -> None:
    """virtmuxd does these with rights at libvirt that the caller may lack."""
    assert {Right.STEAL, Right.FORGET, Right.START, Right.KEY, Right.KICK, Right.FORCE}.isdisjoint(USE)


def test_a_host_without_the_groups_leaves_it_to_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grp, "getgrnam", {}.__getitem__)

    assert rights(Config(), 1000, 50, 51) == NOTHING
    assert rights(Config(), 0) == ALL


def test_rules_of_the_configuration_come_before_those() -> None:
    rule = AccessRule(user=("alice",), group=("ci", "53"), allow=(Right.WATCH, Right.KICK))
    config = Config(access=(rule,))

    for uid, gid in ((1000, 50), (2, 52), (2, 53)):
        assert rights(config, uid, gid) == {Right.WATCH, Right.KICK}
    assert rights(config, 2, 50) == USE
    assert rights(config, 0) == ALL


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (AccessRule(group=("nosuch",), allow=()), "there is no group 'nosuch'"),
        (AccessRule(user=("bob",), allow=()), "there is no user 'bob'"),
        (AccessRule(user=("a\0b",), allow=()), "there is no user"),
        (AccessRule(group=("1" * 5000,), allow=()), "there is no group"),
        (AccessRule(user=("\u0661",), allow=()), "there is no user"),
    ],
)
def test_a_rule_for_nobody_there_is_is_an_error(rule: AccessRule, said: str) -> None:
    """It would leave the decision to the rules behind it, which may allow more."""
    with pytest.raises(ConfigError, match=said):
        access_rules(Config(access=(AccessRule(allow=()), rule)), SocketGroups())


def test_all_who_are_missing_are_told() -> None:
    config = Config(access=(AccessRule(user=("alice", "bob"), group=("no", "ci"), allow=()),), log_group="nosuch")

    assert [fault.partition(";")[0] for fault in missing(config)] == [
        "access[1].user: there is no user 'bob'",
        "access[1].group: there is no group 'no'",
        "log_group: there is no group 'nosuch'",
    ]


def test_the_group_of_the_logs_is_found() -> None:
    assert log_group(Config()) is None
    assert log_group(Config(log_group="ci")) == 52
    with pytest.raises(ConfigError, match="there is no group 'nosuch'"):
        log_group(Config(log_group="nosuch"))


def test_a_number_is_a_groups_id() -> None:
    assert (group_id("77"), group_id("ci"), group_id("nosuch")) == (77, 52, None)
