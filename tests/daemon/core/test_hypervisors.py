"""What is known and counted of the hypervisors that the daemon was told to serve."""

from typing import Any

import pytest

from tests.harness.consoles import HYPERVISOR, SECOND, START, URI, Consoles
from tests.harness.life import BUSY
from virtmux.reasons import Cause, Retry
from virtmux.records import rfc3339
from virtmuxd.core.events import Policy
from virtmuxd.core.hypervisors import Hypervisor, is_exclusive
from virtmuxd.core.registry import AlreadyServedError, Registry

OTHER_URI = "qemu+unix:///system?socket=/other"


@pytest.mark.parametrize(
    ("name", "exclusive"),
    [
        ("qemu/system/4a6b", True),
        ("lxc/default/4a6b", False),
        ("bhyve/system/4a6b", False),
        ("qemu:///system", True),
        ("lxc:///", False),
        ("lxc+ssh://there/", False),
        ("", True),
    ],
)
def test_some_drivers_give_a_console_to_several_at_once(name: str, exclusive: bool) -> None:
    assert is_exclusive(name) is exclusive


def test_before_the_first_attempt_is_over_nothing_is_known_of_it() -> None:
    info = Hypervisor(URI, START).info(0)

    assert (info.uri, info.id, info.connected, info.reason, info.consoles) == (URI, None, False, None, 0)
    assert info.since == rfc3339(START)


def test_since_is_when_that_changed() -> None:
    hypervisor = Hypervisor(URI, START)
    hypervisor.disconnect(START + SECOND, Cause.HYPERVISOR_LOST, None, detail=None, retry_s=1.0)
    assert hypervisor.info(0).since == rfc3339(START)
    hypervisor.connect(START + 2 * SECOND)
    hypervisor.connect(START + 3 * SECOND)
    assert hypervisor.info(0).since == rfc3339(START + 2 * SECOND)
    hypervisor.disconnect(START + 4 * SECOND, Cause.HYPERVISOR_LOST, None, detail=None, retry_s=1.0)
    assert hypervisor.info(0).since == rfc3339(START + 4 * SECOND)


def test_it_can_be_asked_while_it_is_connected() -> None:
    hypervisor = Hypervisor(URI, START)
    errands: Any = object()
    hypervisor.connect(START, errands)
    assert hypervisor.errands is errands

    hypervisor.disconnect(START, Cause.HYPERVISOR_LOST, None, detail=None, retry_s=1.0)
    assert hypervisor.errands is None


def test_why_it_is_not_connected_is_told_with_libvirts_error_and_when_it_is_tried_again() -> None:
    hypervisor = Hypervisor(URI, START)
    hypervisor.disconnect(START, Cause.HYPERVISOR_LOST, BUSY, detail=None, retry_s=1.5)

    reason = hypervisor.info(0).reason
    assert reason is not None
    assert reason.cause is Cause.HYPERVISOR_LOST
    assert reason.text == f"the hypervisor cannot be reached: libvirt: {BUSY.message}"
    assert reason.error == BUSY
    assert reason.retry == Retry(will_retry=True, after_s=1.5)

    hypervisor.connect(START)
    assert hypervisor.info(0).reason is None


def test_a_second_uri_of_a_hypervisor_is_told_with_both_and_has_no_consoles() -> None:
    consoles = Consoles()
    registry = consoles.registry
    for uri in (URI, OTHER_URI):
        registry.serve(uri, START)
    hypervisor = consoles.add("web1").console.key.hypervisor
    registry.identified(hypervisor, URI)
    registry.connected(URI, START)
    with pytest.raises(AlreadyServedError) as error:
        registry.identified(hypervisor, OTHER_URI)
    registry.disconnected(OTHER_URI, START, Cause.HYPERVISOR_DENIED, detail=str(error.value))

    served, refused = registry.hypervisors()

    assert (served.uri, served.connected, served.consoles) == (URI, True, 1)
    assert (refused.uri, refused.connected, refused.consoles) == (OTHER_URI, False, 0)
    assert served.id == refused.id == hypervisor
    assert refused.reason is not None
    assert URI in refused.reason.text
    assert OTHER_URI in refused.reason.text
    assert not refused.reason.retry.will_retry


def test_ends_are_counted_by_cause_at_their_hypervisor() -> None:
    consoles = Consoles(policy=Policy.ALWAYS)
    bench = consoles.add("web1")
    counters = consoles.registry.serve(URI, START)
    elsewhere = consoles.registry.serve(OTHER_URI, START)
    consoles.registry.identified(HYPERVISOR + URI, URI)
    consoles.registry.identified(HYPERVISOR + OTHER_URI, OTHER_URI)

    for running_id in (5, 6):
        bench.attach(running_id)
        bench.stop("DESTROYED")

    assert counters.snapshot().ends == {Cause.GUEST_DESTROYED: 2}
    assert counters.fields()["ends"] == {"guest-destroyed": 2}
    assert elsewhere.snapshot().ends == {}
    (info, _) = consoles.registry.hypervisors()
    assert info.counters.ends == {Cause.GUEST_DESTROYED: 2}


def test_hypervisors_are_listed_as_they_were_configured() -> None:
    registry = Registry()
    for uri in ("z:///", "a:///", "z:///"):
        registry.serve(uri, START)

    assert [each.uri for each in registry.hypervisors()] == ["z:///", "a:///"]
