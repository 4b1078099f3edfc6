"""What `virtmux console` says in virsh's words."""

import pytest

from tests.harness.life import TAKEN_OVER
from tests.harness.scripted_daemon import reason
from virtmux.reasons import CAUSES, Cause
from virtmux_cli.virsh.text import connected_lines, end_error, no_device, start_error


@pytest.mark.parametrize(
    ("escape", "named"), [("^]", "^] (Ctrl + ])"), ("^t", "^t (Ctrl + t)"), ("x", "x"), ("^", "^")]
)
def test_the_escape_key_is_named_as_it_was_given(escape: str, named: str) -> None:
    assert connected_lines("web1", escape) == f"Connected to domain 'web1'\nEscape character is {named}\n"


def test_a_name_does_not_act_on_the_terminal() -> None:
    assert "\x1b" not in connected_lines("web\x1b[31m", "^]")
    assert "\x1b" not in "".join(start_error(reason(Cause.CONSOLE_MISSING), "web\x1b[31m"))


@pytest.mark.parametrize("cause", [cause for cause, info in CAUSES.items() if info.exit_status in (0, 10, 11)])
def test_the_end_of_a_guest_is_silent(cause: Cause) -> None:
    assert end_error(reason(cause)) is None


def test_another_end_is_what_libvirt_says_or_else_what_virtmux_says() -> None:
    assert end_error(reason(Cause.CONSOLE_TAKEN_OVER, error=TAKEN_OVER)) == "error: stream had I/O failure"
    assert end_error(reason(Cause.CONSOLE_RELEASED)) == "error: virtmux does not hold the console of web1"
    assert end_error(reason(Cause.GUEST_NOT_RUNNING)) == "error: The domain is not running"
    assert end_error(None) is None


def test_a_device_that_was_not_named_is_named_as_c_does() -> None:
    assert no_device(None) == "error: internal error: cannot find character device <null>"


@pytest.mark.parametrize("cause", [Cause.SERVER_LOST, Cause.ACCESS_DENIED, Cause.HYPERVISOR_LOST])
def test_where_nobody_can_be_asked_it_is_a_failed_connection(cause: Cause) -> None:
    first, second = start_error(reason(cause), "web1")
    assert first == "error: failed to connect to the hypervisor"
    assert second == f"error: {reason(cause).text}"
