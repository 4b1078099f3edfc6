"""What is so where the configuration is silent: for the system's daemon, and for a user's own."""

import os
from pathlib import Path

import pytest

from virtmuxd.config.instance import Instance, default_instance, read_only_socket
from virtmuxd.config.schema import Config, HypervisorRule


@pytest.mark.parametrize(("uid", "instance"), [(0, Instance.SYSTEM), (1000, Instance.SESSION)])
def test_roots_daemon_is_the_systems(monkeypatch: pytest.MonkeyPatch, uid: int, instance: Instance) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)

    assert default_instance() is instance


def test_the_systems_daemon_uses_the_systems_places() -> None:
    settled = Instance.SYSTEM.settle(Config(), {"XDG_RUNTIME_DIR": "/run/user/7", "HOME": "/home/me"})

    assert (settled.uri, settled.socket) == (("qemu:///system",), "/run/virtmux/virtmux.sock")
    assert settled.journal_directory == "/var/log/virtmux"
    assert Instance.SYSTEM.file({"XDG_CONFIG_HOME": "/x"}) == Path("/etc/virtmux/virtmuxd.toml")


def test_a_users_own_daemon_uses_the_users_places() -> None:
    environ = {"XDG_RUNTIME_DIR": "/run/user/7", "XDG_STATE_HOME": "/home/me/state", "XDG_CONFIG_HOME": "/home/me/etc"}
    settled = Instance.SESSION.settle(Config(), environ)

    assert (settled.uri, settled.socket) == (("qemu:///session",), "/run/user/7/virtmux/virtmux.sock")
    assert settled.journal_directory == "/home/me/state/virtmux"
    assert Instance.SESSION.file(environ) == Path("/home/me/etc/virtmux/virtmuxd.toml")
    assert Instance.SESSION.file({"HOME": "/home/me"}) == Path("/home/me/.config/virtmux/virtmuxd.toml")


def test_what_is_said_is_not_settled_anew() -> None:
    config = Config(uri=("lxc:///",), socket="/x/y.sock", journal_directory="/z")

    assert Instance.SYSTEM.settle(config, {}) == config


def test_the_read_only_socket_stands_beside_the_other() -> None:
    assert read_only_socket(Path("/run/virtmux/virtmux.sock")) == Path("/run/virtmux/virtmux-ro.sock")


def test_hypervisors_with_settings_stand_beside_those_without() -> None:
    config = Config(uri=("a:///", "b:///"), hypervisor=(HypervisorRule(uri="b:///"), HypervisorRule(uri="c:///")))

    assert Instance.SYSTEM.settle(config, {}).uri == ("a:///", "b:///", "c:///")
