"""The composition root: what the daemon consists of, and the order in which it starts and stops.

Start: lock the runtime directory, register libvirt's events, bind the sockets, lock the journal and look at it, serve
the sockets, be ready, then attend to hypervisors: a hung one holds nothing up. SIGHUP: see `virtmuxd.reload`. Stop:
accept no more, give each client its reason and let it be read, close the consoles' streams and connections, record a
clean stop in rings and journal, drain libvirt's events.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import partial

from virtmux import __version__
from virtmux.features import Feature
from virtmux.messages import ServerHello
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
from virtmuxd.service.runtime import RuntimeDirectory, activated_sockets, is_for_metrics, notify
from virtmuxd.shelf import Shelf

_log = logging.getLogger(__name__)

#: What this daemon knows beyond the first protocol.
FEATURES = tuple(Feature)
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
    config = loaded.config
    allow_most()
    leave_no_core()
    sys.setswitchinterval(_SWITCH)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.loop_failed)
    stop = asyncio.Event()
    for signal_ in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_, stop.set)
    runtime = RuntimeDirectory(config.socket_path.parent)
    registry = Registry()
    registry.watch(log_event)
    shelf = Shelf(config, registry, runtime, loaded.log_group)
    errors.silence()
    bridge = EventBridge(loop)
    bridge.register()
    attendance = Attendance(bridge, registry, shelf.console, config)
    clients = Clients()
    measurements = Measurements(registry, clients, runtime.life.began, per_console=config.metrics.per_console)
    try:
        proofs = Proofs(runtime.path / "proofs.key", loaded.access.fingerprint)
        hello = ServerHello(software=f"virtmuxd {__version__}", features=list(FEATURES))
        limits = LimitsInForce(config.limits)
        door = Door(limits, frozenset({0, os.geteuid()}))
        hall = Hall(registry, shelf.library, clients, hello, loaded.access, proofs, measurements, limits, door)
        reload = Reload(config, read, partial(_put_into_effect, hall, shelf, attendance))
        loop.add_signal_handler(signal.SIGHUP, reload.asked.set)
        listeners = _listeners(loaded, hall)
        await shelf.begin()  # behind all that may fail: what it uses up, a stop in order gives back
        async with asyncio.TaskGroup() as tasks:
            beating = [
                tasks.create_task(runtime.stay_alive(measurements.loop_lag.beat), name="alive"),
                tasks.create_task(_feed_watchdog(attendance), name="watchdog"),
            ]
            shelf.write(tasks)
            try:
                await _attend(stop, listeners, attendance, reload)
            finally:
                await shelf.finish()
                for task in beating:
                    task.cancel()
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # it would end the process once the loop is closed
        await _drain(bridge)
        attendance.close()
        measurements.close()
        written = shelf.close()
        runtime.close()
        _log.info("stopped")
    return written and not attendance.stuck


async def _feed_watchdog(attendance: Attendance) -> None:
    every = watchdog.period(os.environ, os.getpid())
    if every is not None:
        health = Health()
        await watchdog.feed(every, lambda now: health.is_well(attendance.used_up, now))


async def _attend(
    stop: asyncio.Event, listeners: list[Listener | MetricsListener], attendance: Attendance, reload: Reload
) -> None:
    """Serve sockets and hypervisors until `stop`, and end them in order."""
    async with asyncio.TaskGroup() as hypervisors:
        async with asyncio.TaskGroup() as sockets:
            for listener in listeners:
                sockets.create_task(listener.run(stop), name="listener")
            notify("READY=1")
            _log.info("ready")
            hypervisors.create_task(attendance.run(), name="hypervisors")
            reloading = hypervisors.create_task(reload.run(), name="reload")
            await stop.wait()
            notify("STOPPING=1")
            reloading.cancel()
        attendance.finish()


async def _put_into_effect(hall: Hall, shelf: Shelf, attendance: Attendance, loaded: Loaded) -> None:
    """Let another configuration be in force."""
    logs.set_level(loaded.config.log_level)
    hall.follow(loaded.access, loaded.config.limits, per_console=loaded.config.metrics.per_console)
    shelf.follow(loaded.config)
    await attendance.follow(loaded.config)


def _listeners(loaded: Loaded, hall: Hall) -> list[Listener | MetricsListener]:
    """At the sockets that the service manager holds; where that has none for clients, at our own."""
    held = activated_sockets()
    metrics = [each for each in held if is_for_metrics(each)]
    sockets = [(each, each.getsockname().endswith("-ro.sock")) for each in held if each not in metrics]
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
