"""Names in paths: whatever a domain is called, no path leaves its directory and no two share one."""

from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtmux.journal.names import component, home, journal_directories, original, user_directory

NAMES = st.text(max_size=300) | st.text("a./%~-=", max_size=8) | st.text("a%2F\x00", min_size=150, max_size=220)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web1", "web1"),
        ("my vm", "my vm"),
        ("web.1", "web.1"),
        ("größe", "größe"),
        ("X11", "X11"),
        ("x" * 200, "x" * 200),
        ("qemu:///system", "qemu:%2F%2F%2Fsystem"),
        ("..", "%2E."),
        (".hidden", "%2Ehidden"),
        ("-rf", "%2Drf"),
        ("100%", "100%25"),
        ("a~b", "a%7Eb"),
        ("two\nlines", "two%0Alines"),
        ("\udcff", "%ED%B3%BF"),
        ("by-id", "%62y-id"),
        ("", "%"),
    ],
)
def test_a_name_stays_as_it_is_where_that_is_safe(name: str, expected: str) -> None:
    assert (component(name), original(expected)) == (expected, name)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("x" * 201, "x" * 166),
        ("x" * 165 + "ö" * 20, "x" * 165),
        ("x" * 165 + "/" * 20, "x" * 165),
        ("x" * 164 + "\udcff" * 20, "x" * 164),
    ],
    ids=["letters", "a letter of two bytes", "a quoted byte", "a byte that is no text"],
)
def test_of_a_name_that_is_too_long_whole_letters_are_kept_before_a_digest(name: str, kept: str) -> None:
    digest = sha256(name.encode(errors="surrogatepass")).hexdigest()

    assert component(name) == f"{kept}%={digest[:32]}"


@given(NAMES)
def test_a_name_becomes_one_component_that_can_be_used(name: str) -> None:
    text = component(name)

    assert 0 < len(text.encode()) <= 200
    assert not set(text) & set("/\0~")
    assert text[0] not in ".-"
    assert text != "by-id"


@given(NAMES, NAMES)
def test_two_names_never_share_one(one: str, other: str) -> None:
    assert (component(one) == component(other)) == (one == other)


@given(NAMES)
def test_the_name_is_found_again_unless_it_was_too_long(name: str) -> None:
    assert original(component(name)) == (name if "%=" not in component(name) else None)


@pytest.mark.parametrize("text", ["%2f", "a%2", "%FF", "a~b", "..", "%41", "\udcff", "x%=" + "0" * 32])
def test_what_is_no_component_stands_for_no_name(text: str) -> None:
    assert original(text) is None


def test_a_long_name_does_not_share_with_one_that_looks_like_its_digest() -> None:
    long = component("x" * 300)

    assert component(long) != long


def test_where_the_files_of_a_console_lie() -> None:
    lies = home(Path("/var/log/virtmux"), "qemu/system/h", "5f0f")

    assert lies == Path("/var/log/virtmux/by-id/qemu%2Fsystem%2Fh/5f0f")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/virtmux"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/virtmux"),
        ({"HOME": "/h"}, "/h/.local/state/virtmux"),
        ({"HOME": ""}, "/.local/state/virtmux"),
    ],
)
def test_a_users_own_journal_lies_in_the_state_directory(environ: dict[str, str], expected: str) -> None:
    assert user_directory(environ) == Path(expected)


def test_a_journal_is_looked_for_where_it_is_named_or_else_in_the_systems_place_and_the_users() -> None:
    assert journal_directories({"VIRTMUX_JOURNAL": "/srv/log", "HOME": "/root"}) == [Path("/srv/log")]
    assert journal_directories({"HOME": "/root"}) == [Path("/var/log/virtmux"), Path("/root/.local/state/virtmux")]
