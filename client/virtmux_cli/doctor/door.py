"""Why the daemon cannot be talked to: it does not run, or its socket is not for this user."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from virtmux.addresses import SshHost
from virtmux.reasons import Cause, Reason
from virtmux_cli.doctor.accounts import group_name, user_name
from virtmux_cli.doctor.finding import Finding

_UNITS = [Path(base, "systemd", "system", "virtmuxd.socket") for base in ("/etc", "/usr/lib", "/lib")]
#: What a group needs: to write to a socket, to pass a directory.
_SOCKET_BITS, _DIRECTORY_BITS = stat.S_IWGRP, stat.S_IXGRP


class Door(NamedTuple):
    """What this user may not pass: a socket, or a directory above it; to whom it belongs, and to which group it is
    open, if to any."""

    path: Path
    owner: str
    group: str | None


def door_findings(reason: Reason, paths: Sequence[Path]) -> list[Finding]:
    """Why no daemon could be talked to at these paths, or what was asked was not answered."""
    if reason.cause is Cause.ACCESS_DENIED:
        doors = [door for path in paths if (door := closed_door(path)) is not None]
        user, groups = user_name(os.getuid()), {group_name(group) for group in (os.getegid(), *os.getgroups())}
        return [no_entry(doors[0], user, groups, reason)] if doors else [_not_allowed(reason)]
    return [not_running(paths, reason)] if reason.cause is Cause.SERVER_LOST else [_other(reason)]


def far_findings(reason: Reason, host: SshHost) -> list[Finding]:
    """Why no daemon of another host could be talked to."""
    if reason.cause not in (Cause.ACCESS_DENIED, Cause.SERVER_LOST):
        return [_other(reason)]
    wrong = f"No virtmuxd of {host} can be talked to from here."
    do = f"`ssh {host} virtmux doctor` has to work, and says more."
    return [Finding("host-unreachable", reason.exit_status, wrong, f"{_sentence(reason)}.", do)]


def closed_door(path: Path) -> Door | None:
    """The first of the directories to a socket, or the socket itself, that this user may not pass, if any."""
    for each in (*reversed(path.parents), path):
        right, bits = (os.W_OK, _SOCKET_BITS) if each == path else (os.X_OK, _DIRECTORY_BITS)
        try:
            status = each.stat()
        except OSError:
            return None
        if not os.access(each, right):
            return Door(each, user_name(status.st_uid), group_name(status.st_gid) if status.st_mode & bits else None)
    return None


def no_entry(door: Door, user: str, groups: set[str], reason: Reason) -> Finding:
    """The socket is there, and not for this user."""
    known = f"{door.path} belongs to user {door.owner}"
    if door.group is None:
        known += " and is open to nobody else."
        do = f"Run virtmux as {door.owner}, for example `sudo virtmux list`."
    elif door.group in groups:
        known += f", and group {door.group}, which this process is in, may not pass it either."
        do = f"Run virtmux as {door.owner}, for example `sudo virtmux list`."
    else:
        known += f" and is open to group {door.group}, which this process is not in."
        do = f"Join it by `sudo usermod -aG {door.group} {user}`, then log in again (or run `newgrp {door.group}`)."
    return Finding("socket-permission", reason.exit_status, f"User {user} may not talk to virtmuxd.", known, do)


def not_running(paths: Sequence[Path], reason: Reason) -> Finding:
    """Nobody listens."""
    if any(unit.exists() for unit in _UNITS):
        do = "Start it with `sudo systemctl enable --now virtmuxd.socket`; `journalctl -u virtmuxd` says why it ended."
    else:
        do = "Start it: `sudo virtmuxd` for qemu:///system, `virtmuxd` for guests of your own."
    if len(paths) == 1:
        do += f" If it listens elsewhere than at {paths[0]}, name its socket with --socket or VIRTMUX_SOCKET."
    return Finding("daemon-not-running", reason.exit_status, "virtmuxd does not run.", f"{_sentence(reason)}.", do)


def _not_allowed(reason: Reason) -> Finding:
    do = "The access rules ([[access]] in virtmuxd's configuration) say who may do what; root may do everything."
    return Finding("access-denied", reason.exit_status, "This user may not do that.", f"{_sentence(reason)}.", do)


def _other(reason: Reason) -> Finding:
    known = f"{_sentence(reason)} ({reason.cause})."
    return Finding("no-connection", reason.exit_status, "virtmuxd does not answer what was asked.", known, "Try again.")


def _sentence(reason: Reason) -> str:
    return reason.text[:1].upper() + reason.text[1:]
