"""What is asked about domains: how a failure is worded, and which domain is meant."""

from tests.harness.life import NOT_RUNNING
from virtmux.domains import DomainInfo
from virtmux.reasons import Cause
from virtmuxd.core.errands import NotDone, meant


def found(domain: str, uuid: str = "u", uri: str = "qemu:///system") -> DomainInfo:
    return DomainInfo(
        uri=uri, domain=domain, uuid=uuid, running=False, paused=False, served=True, devices=[], graphics=[]
    )


def test_what_was_not_done_is_worded_with_libvirts_error() -> None:
    text = NotDone(Cause.ACTION_FAILED, NOT_RUNNING).text("web1")
    assert text == "libvirt could not do this to guest web1: libvirt: domain is not running"


def test_what_was_not_done_in_time_says_what_that_means() -> None:
    text = NotDone(Cause.HYPERVISOR_TIMEOUT, detail="it may still be done").text("web1")
    assert text == "the hypervisor of web1 does not answer: it may still be done"


def test_a_name_is_meant_before_a_uuid_and_that_before_a_running_id() -> None:
    by_name, by_uuid, by_id = found("5"), found("web1", uuid="5"), found("db1")

    assert meant("5", [by_id, by_uuid, by_name]) == [by_name]
    assert meant("5", [by_id, by_uuid]) == [by_uuid]
    assert meant("5", [by_id]) == [by_id]
    assert meant("5", []) == []


def test_a_uuid_is_meant_however_it_is_written() -> None:
    assert meant("5D3F", [found("web1", uuid="5d3f"), found("db1")]) == [found("web1", uuid="5d3f")]


def test_a_name_that_several_hypervisors_have_is_found_at_each() -> None:
    here, there = found("web1"), found("web1", uri="qemu+ssh://there/system")
    assert meant("web1", [here, there]) == [here, there]
