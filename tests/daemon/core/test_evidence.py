"""From what libvirt said to a cause."""

import pytest

from tests.harness.life import CONNECTION_LOST, TAKEN_OVER, at, libvirt_error
from virtmux.reasons import GUEST_ENDS, Cause, LibvirtEvent, Phase, SavedError
from virtmuxd.core.evidence import (
    Evidence,
    Failure,
    Verdict,
    assume,
    classify,
    connecting_cause,
    connection_cause,
    stopped_cause,
)

STOPPED = LibvirtEvent("STOPPED", "CRASHED")
REMOVED = LibvirtEvent("DEVICE_REMOVED", "serial0")


def failure(error: SavedError | None = None, cause: Cause | None = None) -> Failure:
    return Failure(Phase.RECEIVE, at(0), error, cause)


@pytest.mark.parametrize(("running_id", "runs"), [(-1, False), (0, True), (1, True)])
def test_a_domain_with_an_id_runs(running_id: int, runs: bool) -> None:
    assert Evidence(1, running_id).running is runs


@pytest.mark.parametrize(
    ("code", "domain", "errno", "testable"),
    [(38, 38, 5, False), (38, 38, 13, True), (38, 7, 5, True), (39, 38, 5, True), (38, 7, 13, True)],
)
def test_opening_again_tells_more_unless_the_guests_end_of_the_pty_is_closed(
    code: int, domain: int, errno: int, testable: bool
) -> None:
    assert failure(libvirt_error(code, domain, int1=errno)).testable is testable


@pytest.mark.parametrize("fails", [failure(), failure(TAKEN_OVER), failure(cause=Cause.HYPERVISOR_LOST)])
def test_the_end_of_the_guest_explains_every_failure(fails: Failure) -> None:
    evidence = Evidence(1, 5, stopped=STOPPED, device_removed=REMOVED)

    assert classify(fails, evidence) == Verdict(Cause.GUEST_CRASHED, STOPPED)


def test_each_end_of_a_guest_is_told_by_libvirt() -> None:
    details = "SHUTDOWN", "DESTROYED", "CRASHED", "MIGRATED", "SAVED", "FAILED", "FROM_SNAPSHOT"

    assert {stopped_cause(LibvirtEvent("STOPPED", detail)) for detail in details} == GUEST_ENDS


@pytest.mark.parametrize("detail", [None, "", "SOMETHING_NEW"])
def test_an_end_of_the_guest_in_words_that_are_not_known_is_what_the_stream_said(detail: str | None) -> None:
    event = LibvirtEvent("STOPPED", detail)

    assert classify(failure(), Evidence(1, 5, stopped=event)) == Verdict(Cause.STREAM_ENDED, event)
    assert classify(failure(TAKEN_OVER), Evidence(1, 5, stopped=event)) == Verdict(Cause.STREAM_ERROR, event)


def test_a_removed_device_explains_its_end() -> None:
    assert classify(failure(), Evidence(1, 5, device_removed=REMOVED)) == Verdict(Cause.DEVICE_REMOVED, REMOVED)


@pytest.mark.parametrize("fails", [failure(), failure(TAKEN_OVER)])
def test_an_end_of_stream_or_a_stream_error_alone_leaves_open_why(fails: Failure) -> None:
    assert classify(fails, Evidence(1, 5)) is None


def test_what_was_lost_is_the_cause_where_no_guest_ended() -> None:
    assert classify(failure(cause=Cause.HYPERVISOR_TIMEOUT), Evidence(1, 5)) == Verdict(Cause.HYPERVISOR_TIMEOUT)
    assert classify(failure(CONNECTION_LOST), Evidence(1, 5)) == Verdict(Cause.HYPERVISOR_LOST)


def test_without_evidence_the_stream_has_the_last_word() -> None:
    assert assume(failure(), Evidence(1, 5)) == Verdict(Cause.STREAM_ENDED)
    assert assume(failure(TAKEN_OVER), Evidence(1, 5)) == Verdict(Cause.STREAM_ERROR)


def test_a_guest_that_powered_off_explains_a_stream_that_ended_and_no_error() -> None:
    powered_off = LibvirtEvent("SHUTDOWN", "GUEST")
    evidence = Evidence(1, 5, shutting_down=powered_off)

    assert classify(failure(), evidence) is None, "libvirt may say better"
    assert assume(failure(), evidence) == Verdict(Cause.GUEST_SHUTDOWN, powered_off)
    assert assume(failure(TAKEN_OVER), evidence) == Verdict(Cause.STREAM_ERROR)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (None, None),
        (TAKEN_OVER, None),
        (libvirt_error(42, 10, "Domain not found"), None),
        (libvirt_error(42, 7, "unknown procedure"), None),
        (libvirt_error(38, 7, "End of file while reading data: Input/output error", int1=5), Cause.HYPERVISOR_LOST),
        (libvirt_error(39, 7, "no event implementation"), Cause.HYPERVISOR_LOST),
        (libvirt_error(1, 7, "client socket is closed"), Cause.HYPERVISOR_LOST),
        (libvirt_error(1, 7, "internal error: connection closed due to keepalive timeout"), Cause.HYPERVISOR_TIMEOUT),
        (libvirt_error(38, 7, "Failed to connect socket", int1=2), Cause.HYPERVISOR_LOST),
        (libvirt_error(38, 7, "Failed to connect socket: Permission denied", int1=13), Cause.HYPERVISOR_DENIED),
        (libvirt_error(38, 7, "Failed to connect socket", int1=1), Cause.HYPERVISOR_DENIED),
    ],
)
def test_only_errors_of_the_connection_say_that_it_is_gone(error: SavedError | None, cause: Cause | None) -> None:
    assert connection_cause(error) is cause


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (libvirt_error(45, 7, "authentication failed"), Cause.HYPERVISOR_DENIED),
        (libvirt_error(94, 60, "authentication unavailable: no polkit agent available"), Cause.HYPERVISOR_DENIED),
        (libvirt_error(89, 47, "The name org.freedesktop.PolicyKit1 was not provided"), Cause.HYPERVISOR_DENIED),
        (libvirt_error(1, 47, "Unable to get system bus connection"), Cause.HYPERVISOR_DENIED),
        (libvirt_error(38, 7, "Failed to connect socket: Permission denied", int1=13), Cause.HYPERVISOR_DENIED),
        (libvirt_error(38, 7, "Failed to connect socket: No such file or directory", int1=2), Cause.HYPERVISOR_LOST),
        (libvirt_error(1, 7, "connection closed due to keepalive timeout"), Cause.HYPERVISOR_TIMEOUT),
        (libvirt_error(5, 0, "no connection driver available"), Cause.HYPERVISOR_LOST),
    ],
)
def test_a_hypervisor_that_cannot_be_connected_to_is_lost_or_denied(error: SavedError, cause: Cause) -> None:
    assert connecting_cause(error) is cause


def test_an_incarnation_runs_until_it_is_seen_to_stop() -> None:
    assert Evidence(1, 5).running
    assert not Evidence(1, -1).running
    assert not Evidence(1, 5, stopped=STOPPED).running
