"""What can be configured, and what is said where it cannot."""

import os
from pathlib import Path

import pytest

from virtmuxd.config import Config, ConfigError, default_socket, default_uri, load, read_only_socket
from virtmuxd.core.events import Policy


def loaded(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "virtmuxd.toml"
    path.write_text(text)
    return load(path)


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert loaded(tmp_path, "# nothing") == Config()


_FIELDS: list[tuple[str, str, object]] = [
    ('uri = ["qemu:///system", "lxc:///"]', "uri", ("qemu:///system", "lxc:///")),
    ('socket = "/run/x/y.sock"', "socket", "/run/x/y.sock"),
    ('attach = "always"', "attach", Policy.ALWAYS),
    ('domain = ["web*"]', "domain", ("web*",)),
    ('log_level = "debug"', "log_level", "debug"),
    ("linger = 0", "linger", 0),
    ("linger = 1.5", "linger", 1.5),
    ("ring = 16384", "ring", 16384),
    ("input_window = 16384", "input_window", 16384),
    ("call_deadline = 3", "call_deadline", 3),
    ("keepalive_interval = 1", "keepalive_interval", 1),
    ("keepalive_count = 1", "keepalive_count", 1),
    ("workers = 1", "workers", 1),
    ("probe_after = 0.5", "probe_after", 0.5),
    ("fence_deadline = 2", "fence_deadline", 2),
    ("fence_patience = 10", "fence_patience", 10),
    ("client_requests = 20", "client_requests", 20),
]


@pytest.mark.parametrize(("text", "name", "value"), _FIELDS)
def test_each_field_can_be_set(tmp_path: Path, text: str, name: str, value: object) -> None:
    config = loaded(tmp_path, text)

    assert getattr(config, name) == value


def test_every_field_is_tried_above() -> None:
    assert {name for _, name, _ in _FIELDS} == set(Config.__struct_fields__)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = 1", "colour"),
        ('uri = "qemu:///system"', "uri"),
        ("socket = 5", "socket"),
        ('attach = "sometimes"', "attach"),
        ("domain = [1]", "domain"),
        ('log_level = "loud"', "log_level"),
        ("linger = -1", "linger"),
        ("ring = 100", "ring"),
        ("ring = 1.5", "ring"),
        ("input_window = 100", "input_window"),
        ("input_window = 65537", "input_window"),
        ("call_deadline = 0", "call_deadline"),
        ("keepalive_interval = 0", "keepalive_interval"),
        ("keepalive_count = 1.5", "keepalive_count"),
        ("workers = 0", "workers"),
        ("linger = x", "line 1"),
    ],
)
def test_what_cannot_be_said_is_answered_with_the_file_and_the_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        loaded(tmp_path, text)

    assert str(tmp_path / "virtmuxd.toml") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: No such file or directory"):
        load(tmp_path / "nowhere.toml")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "virtmuxd.toml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigError, match=r"virtmuxd\.toml"):
        load(path)


def test_what_is_left_open_is_settled_by_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_uri() == "qemu:///system"
    assert default_socket() == Path("/run/virtmux/virtmux.sock")

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    settled = Config().settled()
    assert (settled.uri, settled.socket) == (("qemu:///session",), "/run/user/7/virtmux/virtmux.sock")


def test_what_is_said_is_not_settled_anew() -> None:
    config = Config(uri=("lxc:///",), socket="/x/y.sock")

    assert config.settled() == config


def test_the_read_only_socket_stands_beside_the_other() -> None:
    assert read_only_socket(Path("/run/virtmux/virtmux.sock")) == Path("/run/virtmux/virtmux-ro.sock")
