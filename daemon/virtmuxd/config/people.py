"""The users and groups that a configuration names, looked up by their names: that may ask the network."""

import grp
import os
import pwd
from collections.abc import Callable, Iterator
from typing import NamedTuple

from virtmuxd.config.errors import ConfigError
from virtmuxd.config.schema import AccessRule, Config
from virtmuxd.core.access import USE, AccessRules, Right, Rule

#: The groups of people that a host may have; `access_rules` says what they may do where no rule says otherwise.
USERS, WATCHERS = "virtmux", "virtmux-watch"
#: Of a uid or gid.
_MOST_DIGITS = 10


class SocketGroups(NamedTuple):
    """The groups that may open the sockets, by their ids; None where nobody but the daemon's user may."""

    users: int | None = None
    watchers: int | None = None


def socket_groups() -> SocketGroups:
    """Those of this host."""
    return SocketGroups(group_id(USERS), group_id(WATCHERS))


def access_rules(config: Config, groups: SocketGroups) -> AccessRules:
    """The rules with ids in place of names, and behind them those for the groups of people that the host has.

    Root and the daemon's own user may do everything.

    Raises:
        ConfigError: a user or group does not exist; see `missing`.
    """
    rules = [_rule(each) for each in config.access]
    for gid, rights in ((groups.users, USE), (groups.watchers, frozenset({Right.WATCH}))):
        if gid is not None:
            rules.append(Rule(frozenset(), frozenset({gid}), everybody=False, globs=("*",), rights=rights))
    return AccessRules(rules, {0, os.geteuid()})


def missing(config: Config) -> Iterator[str]:
    """The users and groups that are named and do not exist: each is a fault. Left out, a rule would leave the decision
    to those behind it."""
    for number, rule in enumerate(config.access, 1):
        for name in rule.user:
            if _user_id(name) is None:
                yield f"access[{number}].user: there is no user {name!r}; create it, or take it out of the rule"
        for name in rule.group:
            if group_id(name) is None:
                yield f"access[{number}].group: there is no group {name!r}; create it, or take it out of the rule"
    if config.log_group is not None and group_id(config.log_group) is None:
        yield f"log_group: there is no group {config.log_group!r}"


def log_group(config: Config) -> int | None:
    """The id of the group that may read the journal, if one is named.

    Raises:
        ConfigError: there is no such group.
    """
    return None if config.log_group is None else _known(group_id, "group", config.log_group)


def group_id(name: str) -> int | None:
    """The id of a group, if there is one; a number is taken as it is."""
    try:
        return int(name) if _is_number(name) else grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):  # there is none, or it cannot be a name
        return None


def _user_id(name: str) -> int | None:
    try:
        return int(name) if _is_number(name) else pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        return None


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) <= _MOST_DIGITS


def _rule(rule: AccessRule) -> Rule:
    return Rule(
        frozenset(_known(_user_id, "user", name) for name in rule.user),
        frozenset(_known(group_id, "group", name) for name in rule.group),
        everybody=not rule.user and not rule.group,
        globs=rule.console,
        rights=frozenset(rule.allow),
    )


def _known(look_up: Callable[[str], int | None], kind: str, name: str) -> int:
    """An id, of which `missing` has found that it is there."""
    id_ = look_up(name)
    if id_ is None:
        raise ConfigError(f"there is no {kind} {name!r}")
    return id_
