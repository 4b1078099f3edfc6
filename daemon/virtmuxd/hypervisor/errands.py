"""The errands at a hypervisor: actions, and looks at one domain.

Each is done on a connection of its own, in threads for errands alone: the start of a guest may take long (hooks,
disks), and neither the control connection nor a console waits for it. A bug in one ends that one.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar, assert_never

import libvirt

from virtmux.domains import DomainInfo
from virtmux.messages import Guest
from virtmux.reasons import Cause
from virtmuxd.core.errands import NotDone
from virtmuxd.core.evidence import connecting_cause, connection_cause
from virtmuxd.hypervisor.connection import Connection, Route
from virtmuxd.hypervisor.description import describe
from virtmuxd.hypervisor.errors import CallFailed, DeadlineMissed, named

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

#: So many may be asked for at a hypervisor and not be answered; most of them wait for a thread.
MOST = 32
#: Seconds for a look at a domain. An action has the deadline of the errands' connections (`Route`).
_LOOK_DEADLINE = 10.0
#: And for the connection to be closed, for which the answer waits.
_CLOSE_DEADLINE = 2.0


class HypervisorErrands:
    """See the module; `Errands`. `run` is its life."""

    def __init__(self, route: Route, patterns: Callable[[], tuple[str, ...]]) -> None:
        """`patterns` gives globs on the names of the domains that the daemon looks after."""
        self._route = route
        self._patterns = patterns
        self._asked: asyncio.Queue[Callable[[], Coroutine[Any, Any, None]]] = asyncio.Queue()
        self._unanswered = 0

    async def run(self) -> None:
        """Do what is asked until cancelled; what is under way then is cut off."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                errand = await self._asked.get()
                tasks.create_task(errand(), name=f"errand {self._route.uri}")

    def act(self, uuid: str, asked: Guest, then: Callable[[NotDone | None], None]) -> None:
        """As `Errands`."""
        what = f"`{asked.action}` had no answer in time, and may still be done"
        self._start(partial(self._act, uuid, asked), then, what)

    def look(self, domain: str, then: Callable[[DomainInfo | NotDone | None], None]) -> None:
        """As `Errands`."""
        self._start(partial(self._look, domain), then, "")

    def _start(
        self,
        work: Callable[[Connection], Coroutine[Any, Any, _T]],
        then: Callable[[_T | NotDone], None],
        overdue: str,
    ) -> None:
        """Have work done over a connection of its own. `overdue` says what it means where that takes too long."""
        if self._unanswered >= MOST:
            then(NotDone(Cause.HYPERVISOR_TIMEOUT, detail=f"{MOST} requests wait for it already"))
            return
        self._unanswered += 1
        self._asked.put_nowait(partial(self._do, work, then, overdue))

    async def _do(
        self,
        work: Callable[[Connection], Coroutine[Any, Any, _T]],
        then: Callable[[_T | NotDone], None],
        overdue: str,
    ) -> None:
        try:
            then(await self._answer(work, overdue))
        except Exception:  # noqa: BLE001  # the failure boundary of an errand
            self._report_bug()
        finally:
            self._unanswered -= 1

    async def _answer(self, work: Callable[[Connection], Coroutine[Any, Any, _T]], overdue: str) -> _T | NotDone:
        try:
            return await self._over_a_connection(work)
        except DeadlineMissed:
            return NotDone(Cause.HYPERVISOR_TIMEOUT, detail=overdue)
        except Exception:  # noqa: BLE001  # whoever asked is to be answered
            self._report_bug()
            return NotDone(Cause.INTERNAL_ERROR)

    def _report_bug(self) -> None:
        _log.exception("a bug in what was asked of a hypervisor", extra={"uri": self._route.uri})

    async def _over_a_connection(self, work: Callable[[Connection], Coroutine[Any, Any, _T]]) -> _T | NotDone:
        """What comes of it, unless libvirt is too slow: then DeadlineMissed is raised."""
        try:
            connection = await self._route.connect_for_errand()
        except CallFailed as failed:
            return NotDone(connecting_cause(failed.error), failed.error)
        try:
            return await work(connection)
        except CallFailed as failed:
            return NotDone(connection_cause(failed.error) or Cause.ACTION_FAILED, failed.error)
        finally:
            connection.hurry(_CLOSE_DEADLINE)
            await connection.close()

    async def _act(self, uuid: str, asked: Guest, connection: Connection) -> NotDone | None:
        try:
            await connection.call(_API[asked.action], _act, connection.libvirt, uuid, asked)
        except CallFailed as failed:
            if asked.action in _OF_A_RUNNING_GUEST and failed.error.code == libvirt.VIR_ERR_OPERATION_INVALID:
                return NotDone(Cause.GUEST_NOT_RUNNING, failed.error)
            raise
        return None

    async def _look(self, domain: str, connection: Connection) -> DomainInfo | None:
        connection.hurry(_LOOK_DEADLINE)
        return await connection.call(
            "virDomainGetXMLDesc", describe, connection.libvirt, domain, self._route.uri, self._patterns()
        )


_API = {
    "start": "virDomainCreateWithFlags",
    "start-paused": "virDomainCreateWithFlags",
    "resume": "virDomainResume",
    "key": "virDomainSendKey",
    "nmi": "virDomainInjectNMI",
}
#: What a guest must run for, and no more: an operation that is not valid says that it does not.
_OF_A_RUNNING_GUEST = ("key", "nmi")


def _act(connection: Any, uuid: str, asked: Guest) -> None:
    """In a worker thread.

    Raises:
        CallFailed: libvirt said no.
    """
    with named("virDomainLookupByUUIDString"):
        domain = connection.lookupByUUIDString(uuid)
    with named(_API[asked.action]):
        match asked.action:
            case "start":
                domain.createWithFlags(0)
            case "start-paused":
                domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
            case "resume":
                domain.resume()
            case "key":
                domain.sendKey(libvirt.VIR_KEYCODE_SET_LINUX, asked.hold_ms, asked.keys, len(asked.keys), 0)
            case "nmi":
                domain.injectNMI(0)
            case _:
                assert_never(asked.action)
