"""The fake libvirt, with which the other tests here work, does what the real ones do: tests/integration/test_libvirt.py
puts the same to those."""

from collections.abc import Callable
from typing import Any

import libvirt
import pytest

from tests.harness.fake_libvirt import FakeLibvirt
from tests.harness.libvirt_behaviours import BEHAVIOURS
from tests.harness.libvirt_subject import Behaviour, Subject
from virtmuxd.hypervisor.transport import Transport

#: Whether it is another process, and whether it gives a console to one client alone.
KINDS = {"over RPC": (True, True), "in this process": (False, True), "containers": (True, False)}
SHOWN = [
    pytest.param(kind, behaviour, id=f"{kind}-{name}")
    for kind, (remote, exclusive) in KINDS.items()
    for name, behaviour in BEHAVIOURS.of(remote=remote, exclusive=exclusive).items()
]


@pytest.mark.parametrize(("kind", "behaviour"), SHOWN)
async def test_it_behaves_as_libvirt(kind: str, behaviour: Behaviour) -> None:
    remote, exclusive = KINDS[kind]
    async with FakeLibvirt(remote=remote, exclusive=exclusive).installed() as fake:
        guest = fake.add()
        guest.greeting = b"hello\n"
        guest.reads = guest.says
        guest.start()

        def connect() -> tuple[Any, Callable[[], None]]:
            transport = Transport()
            with fake.bridge.opening(transport):
                return libvirt.open("qemu:///fake"), transport.cut

        subject = Subject(
            connect, guest.uuid, lambda _, data: guest.type(data), guest.greeting, remote=remote, exclusive=exclusive
        )
        await subject.set(running=behaviour.running)
        await behaviour.play(subject)
        subject.close()
