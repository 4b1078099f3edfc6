"""What windows are called: nothing that means something to tmux, whatever a guest is called."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.scripted_daemon import CONSOLE
from virtmux.reasons import Cause
from virtmux_cli.tmux.naming import MAX_NAME, Key, real_name, safe_name, session_name, window_name

KEY = Key.of(None, CONSOLE)
#: What separates targets, begins a format or a special target, ends a command, or is a glob.
MEANT_FOR_TMUX = set(".:#;=!$%^&*?[]{}()|<>\"'`\\, \t\n")


@given(st.text())
def test_a_name_holds_nothing_that_means_something_to_tmux(text: str) -> None:
    name = safe_name(text)
    assert not set(name) & MEANT_FOR_TMUX
    assert name.isprintable()
    assert name[0].isalnum() or name[0] == "_"
    assert len(name) <= MAX_NAME
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("domain", "name"),
    [
        ("web1", "web1"),
        ("a.b:c #(touch x)", "a_b_c___touch_x_"),
        ("#{host}#[bg=red]", "__host___bg_red_"),
        ("-t", "_t"),
        ("@5", "_5"),
        ("gäst 1", "gäst_1"),
        ("\x1b]2;x\x07", "__2_x_"),
        ("\u202eevil", "_evil"),
        ("x" * 99, "x" * 47 + "~"),
        ("", "_"),
    ],
)
def test_the_name_of_a_window_is_the_domain_as_far_as_it_is_harmless(domain: str, name: str) -> None:
    assert window_name(KEY, domain, None) == name


def test_a_name_tells_devices_hosts_and_ends_apart() -> None:
    assert window_name(KEY._replace(device="serial1"), "web1", None) == "web1-serial1"
    assert window_name(KEY._replace(host="admin@kvm1.example.org"), "web1", None) == "web1@admin@kvm1_example_org"
    assert window_name(KEY, "web1", Cause.GUEST_SHUTDOWN) == "web1 (guest-shutdown)"
    assert real_name(KEY._replace(device="serial1"), "a.b:c\x1b") == "a.b:c\\x1b:serial1"
    assert real_name(KEY._replace(host="kvm1"), "web1") == "web1:serial0 at kvm1"


@given(st.builds(Key, st.none() | st.text(min_size=1), st.text(), st.text(), st.text()))
def test_a_key_comes_back_as_it_was_and_means_nothing_to_tmux(key: Key) -> None:
    if key.host != "-":
        assert Key.parse(str(key)) == key
    assert set(str(key)) <= set(string.ascii_letters + string.digits + "/:@+=&?,%-_.~ ")


@pytest.mark.parametrize("text", ["a.b", "a:b", "#(x)", "", "-d", "$1", "=x", "a b"])
def test_a_session_that_would_be_called_otherwise_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a session's name"):
        session_name(text)
