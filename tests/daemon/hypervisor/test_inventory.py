"""What a hypervisor has, read from libvirt's XML and states."""

from xml.etree import ElementTree as ET

import libvirt
import pytest

from tests.harness.fake_libvirt import FakeLibvirt
from virtmux.reasons import LibvirtEvent
from virtmuxd.hypervisor.inventory import Device, devices_of, identify, stopped_how


def domain(devices: str) -> ET.Element:
    return ET.fromstring(f"<domain type='qemu'><name>web1</name><devices>{devices}</devices></domain>")


SERIAL = "<serial type='pty'><target type='isa-serial' port='0'/><alias name='serial0'/></serial>"
SAME = "<console type='pty'><target type='serial' port='0'/><alias name='serial0'/></console>"
VIRTIO = "<console type='pty'><target type='virtio' port='1'/><alias name='console1'/></console>"


def test_a_serial_line_that_is_the_console_too_is_one_device() -> None:
    assert devices_of(domain(SERIAL + SAME)) == (Device("serial0", "pty", 0),)


def test_devices_come_in_the_order_in_which_people_count_them() -> None:
    parallel = "<parallel type='file'><alias name='parallel0'/></parallel>"

    assert devices_of(domain(parallel + SAME + VIRTIO + SERIAL)) == (
        Device("serial0", "pty", 0),
        Device("console1", "pty", 1),
        Device("parallel0", "file", 2),
    )


def test_the_first_is_the_one_that_libvirt_opens_where_none_is_named() -> None:
    on_pci = "<serial type='pty'><target type='pci-serial' port='0'/><alias name='serial0'/></serial>"
    virtio = "<console type='pty'><target type='virtio' port='0'/><alias name='console0'/></console>"

    assert devices_of(domain(on_pci + virtio + VIRTIO)) == (
        Device("console0", "pty", 0),
        Device("serial0", "pty", 1),
        Device("console1", "pty", 2),
    )


def test_before_the_start_aliases_are_foretold() -> None:
    inactive = (
        "<serial type='pty'><target port='0'/></serial><serial type='unix'><target port='1'/></serial>"
        "<console type='pty'><target type='serial' port='0'/></console>"
        "<console type='pty'><target type='virtio' port='1'/></console>"
    )

    assert [device.alias for device in devices_of(domain(inactive))] == ["serial0", "serial1", "console1"]


def test_a_console_alone_is_a_device() -> None:
    lxc = "<console type='pty'><target type='lxc' port='0'/><alias name='console0'/></console>"

    assert devices_of(domain(lxc)) == (Device("console0", "pty", 0),)
    assert [device.alias for device in devices_of(domain("<console type='pty'/>"))] == ["console0"]


@pytest.mark.parametrize("xml", [domain(""), ET.fromstring("<domain/>")])
def test_a_domain_may_have_no_console(xml: ET.Element) -> None:
    assert devices_of(xml) == ()


def test_a_domain_that_is_not_shut_off_did_not_stop() -> None:
    for state in (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_SHUTDOWN):
        assert stopped_how(state, 0) is None


@pytest.mark.parametrize(
    ("reason", "detail"),
    [
        (libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN, "SHUTDOWN"),
        (libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED, "DESTROYED"),
        (libvirt.VIR_DOMAIN_SHUTOFF_CRASHED, "CRASHED"),
        (libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED, "MIGRATED"),
        (libvirt.VIR_DOMAIN_SHUTOFF_SAVED, "SAVED"),
        (libvirt.VIR_DOMAIN_SHUTOFF_FAILED, "FAILED"),
        (libvirt.VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT, "FROM_SNAPSHOT"),
        (libvirt.VIR_DOMAIN_SHUTOFF_UNKNOWN, None),
    ],
)
def test_how_a_domain_was_shut_off_is_named_as_its_event_is(reason: int, detail: str | None) -> None:
    assert stopped_how(libvirt.VIR_DOMAIN_SHUTOFF, reason) == LibvirtEvent("SHUTOFF", detail)


async def identity(uri: str, host: str = "4a6b", *, exclusive: bool = True) -> str:
    async with FakeLibvirt(exclusive=exclusive).installed() as fake:
        fake.host = host
        return identify(fake.open(uri))


@pytest.mark.parametrize(
    "uri", ["qemu:///system", "qemu+unix:///system?socket=/run/x", "qemu+ssh://root@host1/system", "qemu:///system#x"]
)
async def test_every_uri_of_one_libvirt_leads_to_one_identity(uri: str) -> None:
    assert await identity(uri) == "qemu/system/4a6b"


async def test_other_instances_drivers_and_hosts_are_others() -> None:
    identities = {
        await identity("qemu:///system"),
        await identity("qemu:///session"),
        await identity("lxc:///", exclusive=False),
        await identity("qemu:///system", "5c7d"),
        await identity("qemu:///system", ""),
    }

    assert len(identities) == 5
