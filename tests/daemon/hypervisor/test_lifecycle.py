"""What libvirt's lifecycle events mean to a console."""

import libvirt
import pytest

from virtmux.reasons import LibvirtEvent
from virtmuxd.core.events import Event, Paused, Resumed, ShuttingDown, Started, Stopped, Undefined
from virtmuxd.hypervisor.lifecycle import translate

AT = 1_700_000_000_000_000_000


@pytest.mark.parametrize(
    ("event", "detail", "meaning"),
    [
        ("STARTED", "BOOTED", Started(AT, 3)),
        ("STARTED", "MIGRATED", Started(AT, 3, incoming=True)),
        ("STOPPED", "CRASHED", Stopped(AT, LibvirtEvent("STOPPED", "CRASHED"))),
        ("SUSPENDED", "PAUSED", Paused(AT, "PAUSED")),
        ("RESUMED", "UNPAUSED", Resumed(AT, "UNPAUSED")),
        ("CRASHED", "PANICKED", Paused(AT, "PANICKED", "crashed")),
        ("UNDEFINED", "REMOVED", Undefined(AT, LibvirtEvent("UNDEFINED", "REMOVED"))),
        ("UNDEFINED", "RENAMED", None),
        ("DEFINED", "UPDATED", None),
        ("SHUTDOWN", "GUEST", ShuttingDown(AT, LibvirtEvent("SHUTDOWN", "GUEST"))),
        ("SHUTDOWN", "HOST", None),
    ],
)
def test_an_event_of_a_domain_is_one_of_its_consoles_or_none(event: str, detail: str, meaning: Event | None) -> None:
    number = getattr(libvirt, f"VIR_DOMAIN_EVENT_{event}")
    assert translate(AT, 3, number, getattr(libvirt, f"VIR_DOMAIN_EVENT_{event}_{detail}")) == meaning


def test_a_detail_of_a_newer_libvirt_is_no_detail() -> None:
    assert translate(AT, 3, libvirt.VIR_DOMAIN_EVENT_STOPPED, 99) == Stopped(AT, LibvirtEvent("STOPPED", None))
