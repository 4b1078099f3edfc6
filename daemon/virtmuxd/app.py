"""The composition root: what the daemon consists of, and the order in which it starts and stops.

Start: lock the runtime directory and the journal, register libvirt's events, serve the sockets, be ready, then attend
to hypervisors: a hung one holds nothing up. Stop: accept no more, give each client its reason and let it be read, close
the consoles' streams and connections, record a clean stop in rings and journal, drain libvirt's events.
"""

import asyncio
import logging
import signal
import time

from virtmux import __version__
from virtmux.features import Feature
from virtmux.messages import Limits, ServerHello
from virtmuxd.config.instance import read_only_socket
from virtmuxd.config.schema import Config
from virtmuxd.config.source import Loaded
from virtmuxd.core.counters import Counters
from virtmuxd.core.registry import Registry
from virtmuxd.hypervisor import errors
from virtmuxd.hypervisor.bridge import EventBridge
from virtmuxd.hypervisor.connection import Route
from virtmuxd.hypervisor.console_supervisor import Fence
from virtmuxd.hypervisor.hypervisor_supervisor import HypervisorSupervisor, Scope
from virtmuxd.hypervisor.workers import Workers
from virtmuxd.service.clients import Clients, UserNames
from virtmuxd.service.hall import Hall
from virtmuxd.service.library import Library
from virtmuxd.service.listener import Listener, bind
from virtmuxd.service.proofs import Proofs
from virtmuxd.service.runtime import RuntimeDirectory, activated_sockets, notify
from virtmuxd.shelf import Shelf

_log = logging.getLogger(__name__)

#: What this daemon knows beyond the first protocol.
FEATURES = tuple(Feature)
#: Guests of one hypervisor that may refuse input at once without holding up the input of others.
_SENDERS = 512
#: Starts of guests, and whatever else is asked about domains, that a hypervisor may have under way at once.
_ERRANDS = 4
#: Seconds for the consoles to be closed in order; then connections that hang are cut.
_CLOSE_DEADLINE = 3.0
#: Seconds for libvirt's event handles to be gone after the last connection is closed.
_DRAIN_DEADLINE = 5.0


async def serve(loaded: Loaded) -> bool:
    """Run the daemon until SIGTERM or SIGINT.

    Gives whether every call of libvirt and the disk has returned; where not, threads are left that cannot be waited
    for.

    Raises:
        OSError: the runtime directory or a socket cannot be had.
        BlockingIOError: another daemon uses the runtime directory or the journal.
    """
    config = loaded.config
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signal_ in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _log.info, "nothing is to be loaded again")
    runtime = RuntimeDirectory(config.socket_path.parent)
    registry = Registry()
    shelf = Shelf(config, registry, runtime, loaded.log_group)
    errors.silence()
    bridge = EventBridge(loop)
    bridge.register()
    counters = {uri: registry.serve(uri, time.time_ns()) for uri in config.uri}
    routes = [_route(uri, bridge, config, counters[uri]) for uri in config.uri]
    try:
        await shelf.begin()
        listeners = _listeners(loaded, registry, shelf.library, Proofs.kept_in(runtime.path / "proofs.key"))
        async with asyncio.TaskGroup() as tasks:
            beating = tasks.create_task(runtime.stay_alive(), name="alive")
            shelf.write(tasks)
            try:
                await _attend(config, stop, routes, listeners, _scope(config, registry, shelf))
            finally:
                await shelf.finish()
                beating.cancel()
    finally:
        await _drain(bridge)
        for route in routes:
            for threads in route.threads:
                threads.close()
        written = shelf.close()
        runtime.close()
        for uri, counted in counters.items():
            _log.info("what was counted at a hypervisor", extra={"uri": uri, **counted.fields()})
        _log.info("stopped")
    return written and not any(threads.stuck for route in routes for threads in route.threads)


async def _attend(
    config: Config, stop: asyncio.Event, routes: list[Route], listeners: list[Listener], scope: Scope
) -> None:
    """Serve sockets and hypervisors until `stop`, and end them in order."""
    async with asyncio.TaskGroup() as hypervisors:
        async with asyncio.TaskGroup() as sockets:
            for listener in listeners:
                sockets.create_task(listener.run(stop), name="listener")
            notify("READY=1")
            _log.info("ready", extra={"socket": config.socket})
            tasks = [
                hypervisors.create_task(HypervisorSupervisor(route, scope).run(), name=route.uri) for route in routes
            ]
            await stop.wait()
            notify("STOPPING=1")
        for route in routes:
            for threads in route.threads:
                threads.finish_within(_CLOSE_DEADLINE)
        for task in tasks:
            task.cancel()


def _scope(config: Config, registry: Registry, shelf: Shelf) -> Scope:
    """What the supervisors of hypervisors have in common."""
    return Scope(
        registry,
        shelf.console,
        config.domain,
        (config.keepalive_interval, config.keepalive_count),
        Fence(config.fence_deadline, config.client_requests, config.fence_patience),
    )


def _listeners(loaded: Loaded, registry: Registry, library: Library, proofs: Proofs) -> list[Listener]:
    """The sockets that the service manager holds, or else our own."""
    config = loaded.config
    limits = Limits(input_window=config.limits.input_window)
    greeting = ServerHello(software=f"virtmuxd {__version__}", features=list(FEATURES), limits=limits)
    hall, names = Hall(registry, library, Clients(), greeting, loaded.access, proofs), UserNames()
    sockets = [(each, each.getsockname().endswith("-ro.sock")) for each in activated_sockets()]
    if not sockets:
        path = config.socket_path
        sockets = [(bind(path), False), (bind(read_only_socket(path)), True)]
    return [Listener(each, hall, names, read_only=read_only) for each, read_only in sockets]


def _route(uri: str, bridge: EventBridge, config: Config, counters: Counters) -> Route:
    return Route(
        uri,
        bridge,
        Workers(config.workers, f"libvirt {uri}", counters),
        Workers(_SENDERS, f"input {uri}", counters),
        config.call_deadline,
        pool=config.pool_of(uri),
        errands=Workers(_ERRANDS, f"errands {uri}", counters),
    )


async def _drain(bridge: EventBridge) -> None:
    try:
        async with asyncio.timeout(_DRAIN_DEADLINE):
            await bridge.drain()
    except TimeoutError:
        _log.warning("libvirt still holds event handles", extra={"handles": repr(bridge.callbacks)})
