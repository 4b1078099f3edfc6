"""The composition root: what the daemon consists of, and the order in which it starts and stops.

`serve` is a ladder: the daemon starts by going down it, and stops by going up again. Each rung is left once all that
belongs to it has ended.

    start, from above                               stop, from below
    take the runtime directory, bind the sockets    drain libvirt's events, let go of threads, disk and directory
    look at the journal
    give signs of life                              give none any more
    write the journal                               record a clean stop in rings and journal, and write all
    attend to hypervisors                           close the consoles' streams and the connections
    serve the sockets                               accept nobody, give each client its reason and let it be read
    follow SIGHUP                                   follow it no more
    be ready                                        SIGTERM

A hypervisor that hangs holds neither up: it is attended to aside, and cut off at a deadline.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from virtmux import __version__
from virtmux.features import Feature
from virtmux.messages import DaemonHello
from virtmuxd import logs
from virtmuxd.attendance import Attendance
from virtmuxd.config.instance import read_only_socket
from virtmuxd.config.source import Loaded
from virtmuxd.core.door import Door
from virtmuxd.core.health import Health
from virtmuxd.core.limits import LimitsInForce
from virtmuxd.core.registry import Registry
from virtmuxd.hypervisor import errors
from virtmuxd.hypervisor.bridge import EventBridge
from virtmuxd.reload import Reload
from virtmuxd.service import watchdog
from virtmuxd.service.callers import Callers
from virtmuxd.service.clients import Clients
from virtmuxd.service.console_log import log_event
from virtmuxd.service.descriptors import allow_most
from virtmuxd.service.hall import Hall
from virtmuxd.service.listener import Listener, bind
from virtmuxd.service.measurements import Measurements
from virtmuxd.service.metrics_http import MetricsListener
from virtmuxd.service.process import leave_no_core
from virtmuxd.service.proofs import Proofs
from virtmuxd.service.runtime import RuntimeDirectory
from virtmuxd.service.service_manager import activated_sockets, is_for_metrics, is_read_only, notify
from virtmuxd.shelf import Shelf

_log = logging.getLogger(__name__)

#: Seconds that a thread which reads the journal may compute before the loop has Python's lock back. The loop lets go of
#: it with each system call: what Python has for that, 5 ms, would be the price of each send to a client.
_SWITCH = 0.0005
#: Seconds for libvirt's event handles to be gone after the last connection is closed.
_DRAIN_DEADLINE = 5.0


async def serve(loaded: Loaded, read: Callable[[], Loaded]) -> bool:
    """Run the daemon until SIGTERM or SIGINT. `read` reads the configuration anew, at SIGHUP.

    Gives whether every call of libvirt and the disk has returned; where not, threads are left that cannot be waited
    for.

    Raises:
        OSError: the runtime directory or a socket cannot be had; or a core would be left.
        BlockingIOError: another daemon uses the runtime directory or the journal.
    """
    _prepare_process()
    stop = _stop_asked_for()
    parts = _Parts(loaded)
    reload = Reload(loaded.config, read, parts.follow)
    try:
        await parts.shelf.begin()  # behind all that may fail: what it uses up, a stop in order gives back
        async with (
            _until_left(alive=parts.stay_alive(), watchdog=parts.feed_watchdog()),
            _recorded(parts.shelf),
            _attended(parts.attendance),
            _served(parts.listeners, stop),
            _reloaded(reload),
        ):
            notify("READY=1")
            _log.info("ready")
            await stop.wait()
            notify("STOPPING=1")
    finally:
        all_returned = await parts.let_go()
        _log.info("stopped")
    return all_returned


def _prepare_process() -> None:
    """Let this process have what a daemon needs, and leave nothing of what consoles said.

    Raises:
        OSError: a core would be left.
    """
    allow_most()
    leave_no_core()
    sys.setswitchinterval(_SWITCH)
    asyncio.get_running_loop().set_exception_handler(logs.loop_failed)


def _stop_asked_for() -> asyncio.Event:
    """Set by SIGTERM and SIGINT, from now on."""
    stop = asyncio.Event()
    for signal_ in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_, stop.set)
    return stop


class _Parts:
    """What the daemon consists of, joined. To make it takes the runtime directory and the sockets; nothing is served,
    connected to or written yet.

    Raises:
        OSError: the runtime directory or a socket cannot be had.
        BlockingIOError: another daemon uses the runtime directory.
    """

    def __init__(self, loaded: Loaded) -> None:
        config = loaded.config
        self.runtime = RuntimeDirectory(config.socket_path.parent)
        registry, clients = Registry(), Clients()
        registry.watch(log_event)
        self.shelf = Shelf(config, registry, self.runtime, loaded.log_group)
        errors.keep_off_stderr()
        self.bridge = EventBridge(asyncio.get_running_loop())
        self.bridge.register()
        self.attendance = Attendance(self.bridge, registry, self.shelf.console, config)
        began, per_console = self.runtime.life.began, config.metrics.per_console
        self.measurements = Measurements(registry, clients, began, per_console=per_console)
        hello = DaemonHello(software=f"virtmuxd {__version__}", features=list(Feature))
        proofs = Proofs(self.runtime.path / "proofs.key", loaded.access.fingerprint)
        limits = LimitsInForce(config.limits)
        door = Door(limits, frozenset({0, os.geteuid()}))
        self.hall = Hall(
            registry, self.shelf.library, clients, hello, loaded.access, proofs, self.measurements, limits, door
        )
        self.listeners = _listeners(loaded, self.hall)

    async def stay_alive(self) -> None:
        """Leave signs of life for the next daemon, as `RuntimeDirectory.stay_alive`."""
        await self.runtime.stay_alive(self.measurements.loop_lag.beat)

    async def feed_watchdog(self) -> None:
        """Tell the service manager that all is well, where it asks for that."""
        every = watchdog.period(os.environ, os.getpid())
        if every is not None:
            health = Health()
            await watchdog.feed(every, lambda now: health.is_well(self.attendance.used_up, now))

    async def follow(self, loaded: Loaded) -> None:
        """Let another configuration be in force."""
        logs.set_level(loaded.config.log_level)
        self.hall.follow(loaded.access, loaded.config.limits, per_console=loaded.config.metrics.per_console)
        self.shelf.follow(loaded.config)
        await self.attendance.follow(loaded.config)

    async def let_go(self) -> bool:
        """End what is left, once nothing runs any more; gives whether every call of libvirt and the disk returned."""
        await _drain(self.bridge)
        self.attendance.close()
        self.measurements.close()
        is_written = self.shelf.close()
        self.runtime.close()
        return is_written and not self.attendance.stuck


def _listeners(loaded: Loaded, hall: Hall) -> list[Listener | MetricsListener]:
    """At the sockets that the service manager holds; where that has none for clients, at our own."""
    held = activated_sockets()
    metrics = [each for each in held if is_for_metrics(each)]
    sockets = [(each, is_read_only(each)) for each in held if each not in metrics]
    if not sockets:
        path, groups = loaded.config.socket_path, loaded.socket_groups
        sockets = [(bind(path, groups.users), False), (bind(read_only_socket(path), groups.watchers), True)]
    callers = Callers()
    listeners = [Listener(each, hall, callers, read_only=read_only) for each, read_only in sockets]
    return [*listeners, *(MetricsListener(each, hall.measurements) for each in metrics)]


async def _drain(bridge: EventBridge) -> None:
    try:
        async with asyncio.timeout(_DRAIN_DEADLINE):
            await bridge.drain()
    except TimeoutError:
        _log.warning("libvirt still holds event handles", extra={"handles": repr(bridge.callbacks)})


# The rungs, from the top.


@asynccontextmanager
async def _until_left(**works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Works without an end of their own: to leave is to cancel them."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(work, name=name) for name, work in works.items()]
        try:
            yield
        finally:
            for task in running:
                task.cancel()


@asynccontextmanager
async def _recorded(shelf: Shelf) -> AsyncIterator[None]:
    """What consoles say is written down. To leave is to record a clean stop in rings and journal."""
    async with asyncio.TaskGroup() as tasks:
        shelf.write(tasks)
        try:
            yield
        finally:
            await shelf.finish()


@asynccontextmanager
async def _attended(attendance: Attendance) -> AsyncIterator[None]:
    """Hypervisors are attended to. To leave is to close the consoles' streams and the connections, within a
    deadline."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(attendance.run(), name="hypervisors")
        yield
        attendance.finish()


@asynccontextmanager
async def _served(listeners: list[Listener | MetricsListener], stop: asyncio.Event) -> AsyncIterator[None]:
    """Clients are served until `stop`: then none is accepted, and each gets its reason. To leave is to wait until they
    have read it, within a deadline."""
    async with asyncio.TaskGroup() as tasks:
        for listener in listeners:
            tasks.create_task(listener.run(stop), name="listener")
        yield


@asynccontextmanager
async def _reloaded(reload: Reload) -> AsyncIterator[None]:
    """SIGHUP has the configuration read again, also one that came since it was read: `main` has it wait until now. To
    leave is to ignore it, for the rest of the process."""
    loop = asyncio.get_running_loop()
    # A handler of the loop's is gone as soon as the loop is closed: then a SIGHUP would end the process.
    signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(reload.asked.set))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    try:
        async with _until_left(reload=reload.run()):
            yield
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
