"""The table of causes: complete, its numbers unique and in step with the exit statuses, its texts safe to fill."""

from string import Formatter

import pytest
from msgspec import json

from virtmux.reasons import (
    CAUSES,
    GUEST_ENDS,
    PLACE_CAUSES,
    SERVER_CAUSES,
    Cause,
    ConsoleId,
    Phase,
    Reason,
    Retry,
    sentence,
)

HOSTILE = ["{device}", "{0}", "{", "}", "{}", "{domain.__class__}", "%s", "a:b", "ä\n", ""]


def console(domain: str = "web", device: str = "serial0") -> ConsoleId:
    return ConsoleId("host/QEMU/system", "qemu:///system", domain, "5f0f4a52", device, 1)


def test_every_cause_has_its_row_and_no_row_is_too_many() -> None:
    assert list(CAUSES) == list(Cause)


def test_numbers_are_unique() -> None:
    numbers = [info.number for info in CAUSES.values()]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("cause", Cause)
def test_a_number_is_ten_times_the_exit_status_and_a_digit(cause: Cause) -> None:
    info = CAUSES[cause]
    assert info.number // 10 == info.exit_status


def test_no_cause_has_an_exit_status_that_the_command_uses_otherwise() -> None:
    assert {info.exit_status for info in CAUSES.values()} == {0, 1, 3, 4, 5, 6, 8, 9, 10, 11, 12}


def test_the_causes_of_a_place_are_those_of_exit_0_5_and_12_and_what_only_refuses() -> None:
    by_exit_status = {cause for cause, info in CAUSES.items() if info.exit_status in {0, 5, 12}}
    refuses = {Cause.ACCESS_DENIED, Cause.ACTION_FAILED, Cause.FEATURE_MISSING}
    assert by_exit_status | refuses == PLACE_CAUSES


def test_those_of_exit_5_are_of_a_daemon_that_may_be_there_again() -> None:
    assert {cause for cause, info in CAUSES.items() if info.exit_status == 5} == SERVER_CAUSES


def test_a_guests_ends_are_those_of_exit_10_and_11_but_for_that_of_its_device() -> None:
    by_exit_status = {cause for cause, info in CAUSES.items() if info.exit_status in {10, 11}}
    assert GUEST_ENDS | {Cause.DEVICE_REMOVED} == by_exit_status


@pytest.mark.parametrize("cause", Cause)
def test_a_text_has_no_other_fields_than_domain_and_device(cause: Cause) -> None:
    fields = {name for _, name, _, _ in Formatter().parse(CAUSES[cause].text) if name is not None}
    assert fields <= {"domain", "device"}


@pytest.mark.parametrize("cause", Cause)
def test_a_cause_can_be_worded_without_a_console(cause: Cause) -> None:
    text = sentence(cause)
    assert text
    assert "{" not in text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_and_details_are_text_and_nothing_else(name: str) -> None:
    text = sentence(Cause.CONSOLE_NOT_PTY, console(domain=name, device=name), detail=name)
    expected = f"{name} of {name} is not of type pty, so libvirt cannot open it"
    assert text == (f"{expected}: {name}" if name else expected)


def test_a_reason_knows_its_exit_status() -> None:
    reason = Reason(cause=Cause.GUEST_CRASHED, text="", phase=Phase.RECEIVE, at="2026-01-31T12:00:00.000000Z")
    assert reason.exit_status == 11


def test_a_reason_survives_json() -> None:
    reason = Reason(
        cause=Cause.CONSOLE_BUSY,
        text=sentence(Cause.CONSOLE_BUSY, console()),
        phase=Phase.OPEN,
        console=console(),
        offset=2**63 - 1,
        at="2026-01-31T12:00:00.000000Z",
        retry=Retry(will_retry=True, after_s=2.5),
    )
    assert json.decode(json.encode(reason), type=Reason) == reason
