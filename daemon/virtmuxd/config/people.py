"""The users and groups that a configuration names, looked up by their names: that may ask the network."""

import grp
import os
import pwd
from collections.abc import Callable, Iterable
from typing import NamedTuple

from virtmuxd.config.errors import ConfigError
from virtmuxd.config.schema import AccessRule, Config
from virtmuxd.core.access import USE, AccessRules, Right, Rule

#: The groups of people that a host may have, and what they may do where no rule says otherwise.
USERS, WATCHERS = "virtmux", "virtmux-watch"


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
        ConfigError: a user or group does not exist. Left out, its rule would leave the decision to those behind it.
    """
    rules = [_rule(number, each) for number, each in enumerate(config.access, 1)]
    for gid, rights in ((groups.users, USE), (groups.watchers, frozenset({Right.WATCH}))):
        if gid is not None:
            rules.append(Rule(frozenset(), frozenset({gid}), everybody=False, globs=("*",), rights=rights))
    return AccessRules(rules, {0, os.geteuid()})


def log_group(config: Config) -> int | None:
    """The id of the group that may read the journal, if one is named.

    Raises:
        ConfigError: there is no such group.
    """
    if config.log_group is None:
        return None
    (gid,) = _ids((config.log_group,), group_id, "log_group", "group")
    return gid


def group_id(name: str) -> int | None:
    """The id of a group, if there is one; a number is taken as it is."""
    try:
        return int(name) if _is_number(name) else grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def _user_id(name: str) -> int | None:
    try:
        return int(name) if _is_number(name) else pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _rule(number: int, rule: AccessRule) -> Rule:
    where = f"access[{number}]"
    return Rule(
        _ids(rule.user, _user_id, f"{where}.user", "user"),
        _ids(rule.group, group_id, f"{where}.group", "group"),
        everybody=not rule.user and not rule.group,
        globs=rule.console,
        rights=frozenset(rule.allow),
    )


def _ids(names: Iterable[str], look_up: Callable[[str], int | None], where: str, kind: str) -> frozenset[int]:
    found = {name: look_up(name) for name in names}
    missing = [name for name, id_ in found.items() if id_ is None]
    if missing:
        raise ConfigError(f"{where}: there is no {kind} {missing[0]!r}; create it, or take it out of the rule")
    return frozenset(id_ for id_ in found.values() if id_ is not None)
