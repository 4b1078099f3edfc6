"""The daemon's two sockets, and the clients that come in by them."""

import asyncio
import logging
import os
import socket
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from virtmux.messages import Goodbye, encode
from virtmux.people import Person
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, Phase, Reason, Retry
from virtmuxd.service.audit import Audit
from virtmuxd.service.callers import Callers
from virtmuxd.service.client import Client
from virtmuxd.service.descriptors import EXHAUSTED
from virtmuxd.service.hall import Hall
from virtmuxd.service.peer import Peer, peer_of

_log = logging.getLogger(__name__)

#: As many clients may wait to be accepted as at a socket of systemd's: who finds no room is told that nobody answers.
_BACKLOG = 4096
#: Seconds to wait before accepting again where it failed and nobody could be told.
_EXHAUSTED_PAUSE = 1.0


def bind(path: Path, group: int | None = None) -> socket.socket:
    """A listening socket at `path`, mode 0600 before the first client can connect; 0660 for a `group` that it can be
    given to.

    Call it under the runtime directory's lock: a socket that is there is a leftover.

    Raises:
        OSError: it cannot be made.
    """
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        path.chmod(0o600)
        if group is not None:
            _share(path, group)
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


def _share(path: Path, group: int) -> None:
    """Let a group open the socket, if this user may give it to that."""
    try:
        os.chown(path, -1, group)
    except PermissionError:
        _log.warning("a socket cannot be given to its group", extra={"path": str(path), "group": group})
    else:
        path.chmod(0o660)


class Listener:
    """Accepts clients at one socket and owns them until they are gone."""

    def __init__(self, listening: socket.socket, hall: Hall, callers: Callers, *, read_only: bool) -> None:
        self._listening = listening
        self._hall = hall
        self._callers = callers
        self._read_only = read_only
        self._clients: set[Client] = set()
        #: Why it stops; for those too whose user's name is still being found out then.
        self._stopping: Reason | None = None
        self._loop = asyncio.get_running_loop()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; then accept no more, and give each client its reason."""
        async with asyncio.TaskGroup() as tasks:
            accepting = tasks.create_task(self._accept(tasks), name="accept")
            await stop.wait()
            accepting.cancel()
            await asyncio.wait({accepting})
            self._listening.close()
            stopping = reason_now(Cause.SERVER_STOPPING, phase=Phase.SERVER)
            self._stopping = replace(stopping, retry=Retry(will_retry=True))
            for client in tuple(self._clients):
                client.dismiss(self._stopping)

    async def _accept(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            try:
                connection, _ = await self._loop.sock_accept(self._listening)
            except OSError as error:
                await self._not_accepted(error)
                continue
            tasks.create_task(self._come_in(connection), name="client")

    async def _not_accepted(self, error: OSError) -> None:
        if error.errno not in EXHAUSTED:
            _log.error("no more clients can be accepted", extra={"error": error.strerror})
        else:
            with self._hall.descriptors.borrowed(self._listening, error) as borrowed:
                if borrowed is not None:
                    self._refuse(*borrowed)
                    return
        await asyncio.sleep(_EXHAUSTED_PAUSE)

    async def _come_in(self, connection: socket.socket) -> None:
        """Serve a client, if there is room for it."""
        try:
            peer = peer_of(connection)
            if why_not := self._hall.descriptors.why_not(connection.fileno()):
                self._refuse(connection, why_not)
            elif why_not := self._hall.door.why_not(peer.uid):
                self._refuse(connection, why_not)
                _log.warning("client refused", extra={"uid": peer.uid, "pid": peer.pid, "reason": why_not})
            else:
                with self._hall.door.inside(peer.uid):
                    await self._serve(connection, peer)
        except Exception:  # noqa: BLE001  # the last boundary: a client never ends the others
            _log.exception("a bug while serving a client")
        finally:
            connection.close()

    def _refuse(self, connection: socket.socket, why: str) -> None:
        """Say why, if that can be said at once: nothing was sent before, so there is room for it."""
        self._hall.clients.ends[Cause.EVICTED] += 1
        with suppress(OSError):
            connection.setblocking(False)
            goodbye = Goodbye(reason_now(Cause.EVICTED, why, phase=Phase.SERVER))
            connection.send(encode(self._hall.greeting()) + encode(goodbye))

    async def _serve(self, connection: socket.socket, peer: Peer) -> None:
        clients = self._hall.clients
        caller = await self._callers.of(peer)
        who = Person(clients.next_number(), caller.user, peer.uid, peer.pid)
        audit = Audit(who, caller.origin, read_only=self._read_only)
        client = Client(connection, who, peer, self._hall, audit, read_only=self._read_only)
        self._clients.add(client)
        clients.add(who.client, client)
        self._hall.idle.newcomer()
        _log.info("client connected", extra=audit.facts)
        if self._stopping is not None:
            client.dismiss(self._stopping)
        try:
            reason = await client.run()
        finally:
            self._clients.discard(client)
            clients.remove(who.client)
        clients.ends[reason.cause] += 1
        _log.info("client left", extra={**audit.facts, "cause": reason.cause, "reason": reason.text})
