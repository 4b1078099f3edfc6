"""The composition root: what the daemon consists of, and the order in which it starts and stops.

Start: lock the runtime directory, register libvirt's events, serve the sockets, be ready, then attend to hypervisors:
a hung one holds nothing up. Stop: accept no more, give each client its reason and let it be read, close the consoles'
streams and connections, record a clean stop in the rings, drain libvirt's events.
"""

import asyncio
import logging
import random
import signal
import time
from functools import partial

from virtmux.backoff import Backoff
from virtmux.messages import Limits
from virtmuxd.config import Config, read_only_socket
from virtmuxd.core.console import Console, ConsoleKey, Naming
from virtmuxd.core.counters import Counters
from virtmuxd.core.events import Timing
from virtmuxd.core.registry import Registry
from virtmuxd.hypervisor import errors
from virtmuxd.hypervisor.bridge import EventBridge
from virtmuxd.hypervisor.connection import Route
from virtmuxd.hypervisor.console_supervisor import Fence
from virtmuxd.hypervisor.hypervisor_supervisor import HypervisorSupervisor, Scope
from virtmuxd.hypervisor.workers import Workers
from virtmuxd.service.listener import Listener, bind
from virtmuxd.service.ring import Ring
from virtmuxd.service.runtime import RuntimeDirectory, activated_sockets, boot_id, notify

_log = logging.getLogger(__name__)

#: Guests of one hypervisor that may refuse input at once without holding up the input of others.
_SENDERS = 512
#: For how long after its start the daemon asks often for a console that is busy (ns).
_EAGER = 2 * 10**9
#: Seconds for the consoles to be closed in order; then connections that hang are cut.
_CLOSE_DEADLINE = 3.0
#: Seconds for libvirt's event handles to be gone after the last connection is closed.
_DRAIN_DEADLINE = 5.0


async def serve(config: Config) -> bool:
    """Run the daemon until SIGTERM or SIGINT. `config` is settled.

    Gives whether every libvirt call has returned; where not, threads are left that cannot be waited for.

    Raises:
        OSError: the runtime directory or a socket cannot be had.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signal_ in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_, stop.set)
    runtime = RuntimeDirectory(config.socket_path.parent)
    registry = Registry()
    errors.silence()
    bridge = EventBridge(loop)
    bridge.register()
    counters = {uri: registry.serve(uri, time.time_ns()) for uri in config.uri}
    routes = [_route(uri, bridge, config, counters[uri]) for uri in config.uri]
    try:
        await _attend(config, stop, routes, registry, runtime)
    finally:
        for console in registry.all():
            try:
                console.close(time.time_ns())
            except OSError as error:
                _log.error("a console's ring cannot be closed", extra={"error": str(error)})
        await _drain(bridge)
        for route in routes:
            route.workers.close()
            route.senders.close()
        runtime.close()
        for uri, counted in counters.items():
            _log.info("what was counted at a hypervisor", extra={"uri": uri, **counted.fields()})
        _log.info("stopped")
    return not any(route.workers.stuck or route.senders.stuck for route in routes)


async def _attend(
    config: Config, stop: asyncio.Event, routes: list[Route], registry: Registry, runtime: RuntimeDirectory
) -> None:
    """Serve sockets and hypervisors until `stop`, and end them in order."""
    listeners = _listeners(config, registry)
    scope = Scope(
        registry,
        partial(_make_console, config=config, registry=registry, runtime=runtime, boot=boot_id()),
        config.domain,
        (config.keepalive_interval, config.keepalive_count),
        Fence(config.fence_deadline, config.client_requests, config.fence_patience),
    )
    async with asyncio.TaskGroup() as hypervisors:
        beating = hypervisors.create_task(runtime.stay_alive(), name="alive")
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
            route.workers.finish_within(_CLOSE_DEADLINE)
            route.senders.finish_within(_CLOSE_DEADLINE)
        for task in (*tasks, beating):
            task.cancel()


def _listeners(config: Config, registry: Registry) -> list[Listener]:
    """The sockets that the service manager holds, or else our own."""
    limits = Limits(input_window=config.input_window)
    held = activated_sockets()
    if held:
        return [Listener(each, registry, limits, read_only=each.getsockname().endswith("-ro.sock")) for each in held]
    path = config.socket_path
    return [
        Listener(bind(path), registry, limits, read_only=False),
        Listener(bind(read_only_socket(path)), registry, limits, read_only=True),
    ]


def _route(uri: str, bridge: EventBridge, config: Config, counters: Counters) -> Route:
    return Route(
        uri,
        bridge,
        Workers(config.workers, f"libvirt {uri}", counters),
        Workers(_SENDERS, f"input {uri}", counters),
        config.call_deadline,
        pool=config.pool_of(uri),
    )


def _make_console(
    key: ConsoleKey, naming: Naming, *, config: Config, registry: Registry, runtime: RuntimeDirectory, boot: int
) -> Console:
    """A console with its ring."""
    ring = Ring.open(runtime.ring(key), config.ring, boot, runtime.life)

    def relocate(former: ConsoleKey, key: ConsoleKey) -> None:
        registry.rekey(console, former)
        ring.move(runtime.ring(key))

    console = Console(
        key,
        naming,
        registry.next_handle(),
        ring,
        policy=config.policy_of(naming.domain, key.device),
        timing=Timing(
            linger=config.linger_of(naming.domain, key.device),
            probe_after=config.probe_after,
            eager_until=runtime.life.began + _EAGER,
        ),
        backoff=Backoff(random.random),
        window=config.input_window,
        tell=registry.tell,
        relocate=relocate,
    )
    return console


async def _drain(bridge: EventBridge) -> None:
    try:
        async with asyncio.timeout(_DRAIN_DEADLINE):
            await bridge.drain()
    except TimeoutError:
        _log.warning("libvirt still holds event handles", extra={"handles": repr(bridge.callbacks)})
