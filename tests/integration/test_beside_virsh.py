"""`virtmux attach` in the place of `virsh console`, in all that a test suite of libvirt's consoles does with that.

The scenarios, and what is seen of either in each, are in tests/harness/beside_virsh_suite.py.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import pytest
import pytest_asyncio

from tests.harness.beside_virsh import VIRSH, VIRTMUX, Scenario, Seen, shown, type_something
from tests.harness.beside_virsh_suite import MAY, MAY_NOT, NO_PTY, SCENARIOS
from tests.harness.beside_virsh_words import log_of
from tests.harness.daemon import Daemon
from tests.harness.domain_xml import NOT_A_PTY, no_pty_xml
from tests.harness.follower import follow
from tests.harness.guest import Guest, boot_sector_guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.matrix import refusal
from tests.harness.polkit import Polkit
from tests.harness.privilege import AS_NOBODY, IS_ROOT, NOBODY
from tests.harness.terminal import Terminal, at_terminal
from tests.harness.virsh_console import held_by_virsh
from tests.integration.conftest import StartDaemon, StartGuest, State, guest_factory
from virtmux import Cause

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: A daemon that lets a console go at once when nobody is at it: it is virsh's turn.
LETTING_GO = "linger = 0\n"

SERIAL = "<serial type='pty'><target port='0'/></serial><console type='pty'><target type='serial' port='0'/></console>"
VIRTIO = "<console type='pty'><target type='virtio' port='0'/></console>"
ON_PCI = "<serial type='pty'><target type='pci-serial' port='0'/></serial>"
CHANNEL = "<channel type='pty'><target type='virtio' name='org.example'/></channel>"
#: The first four of many; `NOT_A_PTY` follows.
SERIAL_PORTS = (
    "<serial type='pty'><target type='isa-serial' port='1'/></serial>"
    "<serial type='pty'><target type='pci-serial' port='2'/></serial>"
    "<serial type='pty'><target type='usb-serial' port='3'/></serial>"
)
FIRST_NO_PTY = 4

USE = f'[[access]]\nuser = ["{NOBODY}"]\nallow = ["watch", "history", "type"]\n'


class Host(NamedTuple):
    """A daemon, and a guest of each kind."""

    mux: Daemon
    guests: dict[str, Guest]


def with_consoles(libvirtd: Libvirtd, *, consoles: str) -> Guest:
    """A boot-sector guest with other console devices than those that all have, and with USB.

    It knows of none but its first serial port: at the others it says nothing, and without that one it never sleeps.
    """
    guest = boot_sector_guest(libvirtd)
    xml = re.sub(r"<controller type='usb' model='none'/>|<serial.*</serial>\s*|<console.*</console>", "", guest.xml)
    consoles = consoles.replace("{log}", str(log_of(guest)))
    return replace(guest, xml=xml.replace("</devices>", f"{consoles}</devices>"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(libvirtd: Libvirtd, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Host]:
    """They live through all scenarios."""
    logged = SERIAL.replace("<target", "<log file='{log}'/><target", 1)
    no_pty = no_pty_xml(tmp_path_factory.mktemp("no-pty"), FIRST_NO_PTY)
    kinds: dict[str, tuple[str, State]] = {
        "plain": (logged, "running"),
        "off": (SERIAL, "defined"),
        "virtio": (VIRTIO + CHANNEL, "paused"),
        "pci": (ON_PCI, "paused"),
        "both": (ON_PCI + VIRTIO, "paused"),
        "many": (SERIAL + SERIAL_PORTS + no_pty + VIRTIO.replace("port='0'", "port='1'"), "running"),
    }
    async with guest_factory(libvirtd, with_consoles) as start:
        started = [start(libvirtd, consoles=consoles, state=state) for consoles, state in kinds.values()]
        guests = dict(zip(kinds, await asyncio.gather(*started), strict=True))
        mux = Daemon([libvirtd.uri], config=LETTING_GO)
        try:
            await mux.start()
            yield Host(mux, guests)
        finally:
            print(mux.log)
            await mux.close()


async def names_of(guest: Guest) -> dict[str, str]:
    """What it is called."""
    id_ = await guest.libvirtd.virsh("domid", guest.name)
    hex_ = hex(int(id_)) if id_.isdecimal() else ""
    return {"name": guest.name, "uuid": str(guest.uuid), "id": id_, "hex": hex_}


async def hold(
    scenario: Scenario,
    mux: Daemon,
    guest: Guest,
    names: Mapping[str, str],
    *,
    through: Sequence[Sequence[str]] = ((), ()),
) -> None:
    """Hold what is seen of either program, which leaves the console free. `through` are commands that run them."""
    programs = ((VIRSH, ["-c", guest.libvirtd.uri]), (VIRTMUX, ["--socket", str(mux.socket)]))
    for (program, options), side, by in zip(programs, (scenario.virsh, scenario.attach), through, strict=True):
        async with side.others(mux, guest) as more:
            line = [*options, *side.words(names)]
            status, said = await shown(program, line, side.act, guest, through=by)
        assert Seen.of(status, said, guest.name) == side.seen.at({**names, **more})
        await mux.until_listed(guest.name, state="absent")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_what_is_seen_of_either(scenario: Scenario, host: Host) -> None:
    guest = host.guests[scenario.guest]
    await hold(scenario, host.mux, guest, await names_of(guest))


async def test_what_is_seen_of_either_at_a_device_that_is_no_pty(host: Host) -> None:
    guest = host.guests[NO_PTY.guest]
    names = await names_of(guest)
    async with asyncio.TaskGroup() as tasks:
        for number in range(FIRST_NO_PTY, FIRST_NO_PTY + len(NOT_A_PTY)):
            tasks.create_task(hold(NO_PTY, host.mux, guest, {**names, "device": f"serial{number}"}))


async def test_either_means_the_same_device_where_none_is_named(host: Host) -> None:
    guest = host.guests["both"]
    async with held_by_virsh(guest):
        assert (await refusal(host.mux, guest.name)).cause is Cause.CONSOLE_BUSY
        async with follow(host.mux.socket, guest.name, "serial0") as client:
            await client.until_attached()


async def test_a_terminal_that_is_closed_ends_either_and_the_console_is_free(host: Host) -> None:
    guest = host.guests["plain"]
    virsh = partial(Terminal, VIRSH, ["-c", guest.libvirtd.uri, "console", guest.name])
    attach = partial(at_terminal, host.mux.socket, "attach", "--wait", guest.name)  # until libvirtd has noticed
    for run in (virsh, attach, virsh):
        async with run() as terminal:
            await terminal.until_connected()
            await type_something(terminal)
            await terminal.hang_up()
        await host.mux.until_listed(guest.name, state="absent")


@pytest.mark.where_it_can_be_had
@pytest.mark.skipif(not IS_ROOT, reason="only root can be another user")
@pytest.mark.parametrize(
    ("scenario", "answer", "rights"),
    [pytest.param(MAY, "yes", USE, id=str(MAY)), pytest.param(MAY_NOT, "no", "", id=str(MAY_NOT))],
)
async def test_what_is_seen_of_either_by_who_may_and_who_may_not(
    scenario: Scenario, answer: str, rights: str, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    missing = Polkit.missing()
    if missing is not None:
        pytest.skip(missing)
    with Polkit("yes") as polkit:
        polkit.answer_about_consoles(answer)
        with Libvirtd(bus=polkit.bus, conf='access_drivers = [ "polkit" ]\n') as libvirtd:
            guest = await boot_guest(libvirtd)
            mux = await daemon(libvirtd.uri, config=LETTING_GO + rights)
            for directory in (mux.directory, mux.runtime):
                directory.chmod(0o711)
            mux.socket.chmod(0o666)
            await hold(scenario, mux, guest, {"name": guest.name}, through=(AS_NOBODY, AS_NOBODY))
