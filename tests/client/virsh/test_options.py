"""virsh's options, where virsh takes them."""

import re

import pytest

from virtmux_cli.virsh.options import Meant, behind_the_command, known, meant


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ("-c qemu:///system console web1 --force", "console -c qemu:///system web1 --force"),
        ("--connect=qemu:///system -e ^t console web1", "console --connect=qemu:///system -e ^t web1"),
        ("-q --socket /s console web1", "--socket /s console -q web1"),
        ("console -c qemu:///system web1", "console -c qemu:///system web1"),
        ("-c qemu:///system list", "-c qemu:///system list"),
        ("-c", "-c"),
        ("--help", "--help"),
        ("attach -e x", "attach -e x"),
        ("", ""),
    ],
)
def test_they_may_stand_before_the_command(given: str, understood: str) -> None:
    assert behind_the_command(given.split()) == understood.split()


@pytest.mark.parametrize(
    ("words", "domain", "device", "found"),
    [
        ("web1", None, None, Meant("web1", None)),
        ("web1 serial1", None, None, Meant("web1", "serial1")),
        ("web1", None, "serial1", Meant("web1", "serial1")),
        ("serial1", "web1", None, Meant("web1", "serial1")),
        ("", "web1", "serial1", Meant("web1", "serial1")),
    ],
)
def test_what_no_option_says_is_said_by_a_word(
    words: str, domain: str | None, device: str | None, found: Meant
) -> None:
    assert meant(words.split(), domain, device) == found


@pytest.mark.parametrize(
    ("words", "domain", "device", "wrong"),
    [
        ("", None, None, "command 'console' requires <domain> option"),
        ("", None, "serial1", "command 'console' requires <domain> option"),
        ("web1 serial1 more", None, None, "unexpected data 'more'"),
        ("web1 serial1", None, "serial1", "unexpected data 'serial1'"),
        ("serial1 more", "web1", None, "unexpected data 'more'"),
    ],
)
def test_a_word_that_is_missing_or_too_many_is_said_as_virsh_does(
    words: str, domain: str | None, device: str | None, wrong: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(wrong)):
        meant(words.split(), domain, device)


def test_a_word_may_be_empty_and_is_one() -> None:
    assert meant(["", "serial1"], None, None) == Meant("", "serial1")


@pytest.mark.parametrize(
    ("device", "devices", "name"),
    [
        (None, ["serial0"], None),
        ("serial1", ["serial0", "serial1"], "serial1"),
        ("serial9", ["serial0"], "serial9"),
        ("console0", ["serial0", "console1"], None),
        ("console0", ["serial0", "console0"], "console0"),
    ],
)
def test_the_first_console_has_a_second_name(device: str | None, devices: list[str], name: str | None) -> None:
    assert known(device, devices) == name
