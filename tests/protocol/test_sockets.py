"""Where the daemon's socket is looked for."""

import os
from pathlib import Path

from virtmux.sockets import socket_paths, user_socket

HERE = {"XDG_RUNTIME_DIR": "/run/user/1"}


def test_a_named_socket_is_the_only_one_tried() -> None:
    assert socket_paths("/a", {"VIRTMUX_SOCKET": "/b"}) == [Path("/a")]
    assert socket_paths(None, {"VIRTMUX_SOCKET": "/b", **HERE}) == [Path("/b")]


def test_the_system_comes_before_the_user() -> None:
    assert socket_paths(None, HERE) == [Path("/run/virtmux/virtmux.sock"), Path("/run/user/1/virtmux/virtmux.sock")]


def test_without_a_runtime_directory_the_users_own_is_meant() -> None:
    expected = Path(f"/run/user/{os.getuid()}/virtmux/virtmux.sock")
    assert user_socket({}) == user_socket({"XDG_RUNTIME_DIR": ""}) == expected
