"""Who a client is, beyond what the kernel says at once: the name of its user, its command and its systemd unit.

A directory of users may not answer, and /proc waits for locks: threads ask them, for which nobody waits for long.
"""

import asyncio
import os
import pwd
from functools import partial
from typing import Any, NamedTuple

from virtmuxd.core.cgroup import unit_of
from virtmuxd.service.aside import in_thread
from virtmuxd.service.peer import Peer

#: Seconds for the system to tell it.
_DEADLINE = 0.5
#: Processes that may be looked at at once; of more, nothing is known.
_MOST = 16
_PROC_FILE = 4096


class Origin(NamedTuple):
    """Where a process comes from, None where that is not known: the name of its command, without arguments, and its
    systemd unit."""

    command: str | None = None
    unit: str | None = None


UNKNOWN = Origin()


class Caller(NamedTuple):
    """The name of a client's user, or the uid where it has none or is not told in time; and where it comes from."""

    user: str
    origin: Origin = UNKNOWN


class Callers:
    """See the module. A user's name is asked for once."""

    def __init__(self) -> None:
        self._names: dict[int, asyncio.Future[str]] = {}
        self._under_way = 0

    async def of(self, peer: Peer) -> Caller:
        """Who that is."""
        name = self._names.get(peer.uid)
        if name is None:
            name = self._names[peer.uid] = in_thread(partial(_name, peer.uid), f"user {peer.uid}")
        origin = self._origin(peer)
        asked: list[asyncio.Future[Any]] = [name, origin]
        await asyncio.wait(asked, timeout=_DEADLINE)
        return Caller(
            name.result() if name.done() else str(peer.uid),
            origin.result() if origin.done() else UNKNOWN,
        )

    def _origin(self, peer: Peer) -> asyncio.Future[Origin]:
        if self._under_way >= _MOST:
            unknown: asyncio.Future[Origin] = asyncio.get_running_loop().create_future()
            unknown.set_result(UNKNOWN)
            return unknown
        self._under_way += 1
        origin = in_thread(partial(origin_of, peer), f"process {peer.pid}")
        origin.add_done_callback(self._looked)
        return origin

    def _looked(self, _: asyncio.Future[Origin]) -> None:
        self._under_way -= 1


def origin_of(peer: Peer) -> Origin:
    """Where a process comes from, as /proc tells it; unknown where it is gone, or hidden from us."""
    try:
        # Through this descriptor nothing is read of another process that gets the same pid.
        process = os.open(f"/proc/{peer.pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return UNKNOWN
    try:
        if os.fstat(process).st_uid != peer.uid:  # another has its pid already, or it may not be looked at
            return UNKNOWN
        # Not its command line, which may hold secrets, and is in memory that another may keep us from.
        return Origin(_read(process, "comm").removesuffix("\n"), unit_of(_read(process, "cgroup")))
    except OSError:
        return UNKNOWN
    finally:
        os.close(process)


def _read(process: int, name: str) -> str:
    file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=process)
    try:
        return os.read(file, _PROC_FILE).decode(errors="replace")
    finally:
        os.close(file)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OSError):
        return str(uid)
