"""The service manager's sockets and its ear."""

import os
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from virtmuxd.service.service_manager import activated_sockets, is_for_metrics, is_read_only, notify


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_is_told(monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    with TemporaryDirectory(prefix="vmx") as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        address = f"{directory}/notify"
        listening.bind("\0" + address if abstract else address)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + address if abstract else address)

        notify("READY=1")

        listening.settimeout(5)
        assert listening.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all"])
def test_without_a_service_manager_nobody_is_told(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)

    notify("READY=1")


@pytest.mark.parametrize("pid", [None, "1"])
def test_without_activation_no_sockets_are_held(monkeypatch: pytest.MonkeyPatch, pid: str | None) -> None:
    monkeypatch.setenv("LISTEN_FDS", "2")
    if pid is None:
        monkeypatch.delenv("LISTEN_PID", raising=False)
    else:
        monkeypatch.setenv("LISTEN_PID", pid)

    assert activated_sockets() == []


def test_sockets_of_the_service_manager_are_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    held = socket.socket(socket.AF_UNIX)
    descriptor = held.detach()
    os.set_inheritable(descriptor, True)
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setattr("virtmuxd.service.service_manager.socket.socket", lambda fileno: _made(fileno, descriptor))

    (taken,) = activated_sockets()

    with taken:
        assert (taken.getblocking(), taken.get_inheritable()) == (False, False)


_socket = socket.socket


def _made(fileno: int, descriptor: int) -> socket.socket:
    """The service manager's first one is 3, which is somebody else's in a test."""
    assert fileno == 3
    return _socket(fileno=descriptor)


def test_each_socket_says_by_its_path_what_it_is_for(tmp_path: Path) -> None:
    for name, for_metrics in {"virtmux.sock": False, "virtmux-ro.sock": False, "virtmux-metrics.sock": True}.items():
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(tmp_path / name))
            assert is_for_metrics(listening) is for_metrics
            assert is_read_only(listening) is (name == "virtmux-ro.sock")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        assert is_for_metrics(listening)
