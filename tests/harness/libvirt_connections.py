"""What virtmuxd relies on of libvirt's connections, and of the domains there; see `libvirt_behaviours.py`."""

import asyncio
import gc
import threading
import weakref
from functools import partial
from typing import Any

import libvirt

from tests.harness.libvirt_stage import NOTHING, Behaviours, Stage, failure
from tests.harness.turns import turns, until
from virtmux.reasons import LibvirtEvent
from virtmuxd.hypervisor.inventory import domains_of, identify, look_up

CONNECTIONS = Behaviours()


@CONNECTIONS.add(remote=True)
async def the_loss_of_a_connection_is_told_by_its_callback_alone(stage: Stage) -> None:
    told: list[tuple[object, ...]] = []
    connection, cut = stage.connect_to_cut()
    connection.registerCloseCallback(lambda *said: told.append(said), "opaque")
    async with stage.listening(connection) as ear:
        cut()
        await until(lambda: told)
        await turns()
        assert told == [(connection, libvirt.VIR_CONNECT_CLOSE_REASON_ERROR, "opaque")]
        assert ear.calls == []
        assert ear.stream.recv(100) == NOTHING
        stream = weakref.ref(ear.stream)
        for call in (partial(ear.stream.send, b"x"), ear.stream.abort, connection.getLibVersion):
            refused = failure(call)
            assert refused is not None
            assert refused[1] == libvirt.VIR_FROM_RPC
    assert failure(connection.unregisterCloseCallback) is not None, "it is gone already"
    told.clear()
    gc.collect()
    await until(lambda: stream() is None)  # the thread that has aborted it lets go of it when it comes to that
    assert connection.close() == 0


@CONNECTIONS.add(remote=True)
async def a_close_callback_keeps_its_connection_until_it_is_removed(stage: Stage) -> None:
    told: list[object] = []
    for removes, left in ((True, 0), (False, 1)):
        connection = stage.connect()
        connection.registerCloseCallback(lambda *said: told.append(said), None)
        if removes:
            connection.unregisterCloseCallback()
        await turns()
        assert connection.close() == left
    await turns()
    assert told == []


# Domains.


@CONNECTIONS.add()
async def starts_and_ends_are_told_on_the_loop_an_end_without_running_id(stage: Stage) -> None:
    told: list[tuple[int, int, int]] = []

    def tell(of: Any, domain: Any, event: int, detail: int, opaque: object) -> None:
        assert (of, domain.UUIDString(), opaque) == (connection, stage.uuid, "opaque")
        assert threading.get_ident() == loops_thread
        told.append((event, detail, domain.ID()))

    loops_thread = threading.get_ident()
    connection = stage.connect()
    number = connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, tell, "opaque")
    await asyncio.to_thread(stage.domain.destroy)
    await until(lambda: told and told[-1][0] == libvirt.VIR_DOMAIN_EVENT_STOPPED)
    _, detail, running_id = told[-1]
    failed = [] if stage.exclusive else [libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED]  # a container, now and then
    assert detail in [libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED, *failed]
    assert running_id == -1
    told.clear()
    await stage.running()
    started = libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED, stage.domain.ID()
    await until(lambda: started in told)
    assert {running_id for _, _, running_id in told[told.index(started) :]} == {stage.domain.ID()}
    connection.domainEventDeregisterAny(number)
    await turns()
    assert connection.close() == 0


@CONNECTIONS.add()
async def every_connection_tells_which_libvirt_it_is_and_which_domains_it_has(stage: Stage) -> None:
    assert identify(stage.ours) == identify(stage.theirs)
    assert identify(stage.ours).startswith("qemu/" if stage.exclusive else "lxc/")
    assert stage.uuid in domains_of(stage.ours)
    state = look_up(stage.ours, stage.uuid)
    assert state is not None
    assert (state.uuid, state.running_id, state.stopped) == (stage.uuid, stage.domain.ID(), None)
    assert [(device.alias, device.backend) for device in state.devices] == [(stage.device, "pty")]


@CONNECTIONS.add()
async def a_device_and_a_domain_that_are_not_there_are_told_apart(stage: Stage) -> None:
    no_device = failure(stage.opened, stage.ours, "serial7")
    no_domain = failure(stage.ours.lookupByUUIDString, "00000000-0000-4000-8000-000000000000")
    where = libvirt.VIR_FROM_QEMU if stage.exclusive else libvirt.VIR_FROM_LXC
    what = "character device serial7" if stage.exclusive else "console device 'serial7'"
    assert no_device == (libvirt.VIR_ERR_INTERNAL_ERROR, where, f"internal error: cannot find {what}")
    assert no_domain is not None
    assert no_domain[:2] == (libvirt.VIR_ERR_NO_DOMAIN, where)


@CONNECTIONS.add(running=False)
async def a_domain_that_does_not_run_says_so_and_has_no_running_id(stage: Stage) -> None:
    refused = failure(stage.opened, stage.ours)
    assert refused is not None
    assert refused[:2] == (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_FROM_DOMAIN)
    state = look_up(stage.ours, stage.uuid)
    assert state is not None
    assert (state.running_id, state.stopped) == (-1, LibvirtEvent("SHUTOFF", "DESTROYED"))
