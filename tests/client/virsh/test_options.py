"""virsh's options, where virsh takes them."""

import pytest

from virtmux_cli.virsh.options import behind_the_command


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
