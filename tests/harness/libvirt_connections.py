"""What virtmuxd relies on of libvirt's connections, and of the domains there; see `libvirt_behaviours.py`."""

import asyncio
import gc
import threading
import weakref
from functools import partial
from typing import Any

import libvirt

from tests.harness.libvirt_subject import NOTHING, Behaviours, Subject, failure
from tests.harness.turns import turns, until
from virtmux.reasons import LibvirtEvent
from virtmuxd.hypervisor.inventory import domains_of, identify, look_up

CONNECTIONS = Behaviours()


@CONNECTIONS.add(remote=True)
async def the_loss_of_a_connection_is_told_by_its_callback_alone(subject: Subject) -> None:
    told: list[tuple[object, ...]] = []
    connection, cut = subject.connect_to_cut()
    connection.registerCloseCallback(lambda *said: told.append(said), "opaque")
    async with subject.listening(connection) as ear:
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
async def a_close_callback_keeps_its_connection_until_it_is_removed(subject: Subject) -> None:
    told: list[object] = []
    for removes, left in ((True, 0), (False, 1)):
        connection = subject.connect()
        connection.registerCloseCallback(lambda *said: told.append(said), None)
        if removes:
            connection.unregisterCloseCallback()
        await turns()
        assert connection.close() == left
    await turns()
    assert told == []


# Domains.


@CONNECTIONS.add()
async def starts_and_ends_are_told_on_the_loop_an_end_without_running_id(subject: Subject) -> None:
    told: list[tuple[int, int, int]] = []

    def tell(of: Any, domain: Any, event: int, detail: int, opaque: object) -> None:
        assert (of, domain.UUIDString(), opaque) == (connection, subject.uuid, "opaque")
        assert threading.get_ident() == loops_thread
        told.append((event, detail, domain.ID()))

    loops_thread = threading.get_ident()
    connection = subject.connect()
    number = connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, tell, "opaque")
    await asyncio.to_thread(subject.domain.destroy)
    await until(lambda: told and told[-1][0] == libvirt.VIR_DOMAIN_EVENT_STOPPED)
    _, detail, running_id = told[-1]
    failed = [] if subject.exclusive else [libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED]  # a container, now and then
    assert detail in [libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED, *failed]
    assert running_id == -1
    told.clear()
    await subject.running()
    started = libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED, subject.domain.ID()
    await until(lambda: started in told)
    assert {running_id for _, _, running_id in told[told.index(started) :]} == {subject.domain.ID()}
    connection.domainEventDeregisterAny(number)
    await turns()
    assert connection.close() == 0


@CONNECTIONS.add()
async def every_connection_tells_which_libvirt_it_is_and_which_domains_it_has(subject: Subject) -> None:
    assert identify(subject.ours) == identify(subject.theirs)
    assert identify(subject.ours).startswith("qemu/" if subject.exclusive else "lxc/")
    assert subject.uuid in domains_of(subject.ours)
    state = look_up(subject.ours, subject.uuid)
    assert state is not None
    assert (state.uuid, state.running_id, state.stopped) == (subject.uuid, subject.domain.ID(), None)
    assert [(device.alias, device.backend) for device in state.devices] == [(subject.device, "pty")]


@CONNECTIONS.add()
async def a_device_and_a_domain_that_are_not_there_are_told_apart(subject: Subject) -> None:
    no_device = failure(subject.opened, subject.ours, "serial7")
    no_domain = failure(subject.ours.lookupByUUIDString, "00000000-0000-4000-8000-000000000000")
    where = libvirt.VIR_FROM_QEMU if subject.exclusive else libvirt.VIR_FROM_LXC
    what = "character device serial7" if subject.exclusive else "console device 'serial7'"
    assert no_device == (libvirt.VIR_ERR_INTERNAL_ERROR, where, f"internal error: cannot find {what}")
    assert no_domain is not None
    assert no_domain[:2] == (libvirt.VIR_ERR_NO_DOMAIN, where)


@CONNECTIONS.add(running=False)
async def a_domain_that_does_not_run_says_so_and_has_no_running_id(subject: Subject) -> None:
    refused = failure(subject.opened, subject.ours)
    assert refused is not None
    assert refused[:2] == (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_FROM_DOMAIN)
    state = look_up(subject.ours, subject.uuid)
    assert state is not None
    assert (state.running_id, state.stopped) == (-1, LibvirtEvent("SHUTOFF", "DESTROYED"))
