"""The runtime directory, the service manager's sockets and its ear."""

import asyncio
import os
import socket
import stat
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.service import runtime as runtime_module
from virtmuxd.service.ring import Ring
from virtmuxd.service.runtime import RuntimeDirectory, activated_sockets, boot_id, is_for_metrics, notify

KEY = ConsoleKey("qemu/system/4a6b", "5d3f9a5e-0000-4000-8000-000000000001", "serial0")


def test_a_directory_belongs_to_one_daemon_until_that_lets_go(tmp_path: Path) -> None:
    first = RuntimeDirectory(tmp_path / "virtmux")

    with pytest.raises(BlockingIOError):
        RuntimeDirectory(tmp_path / "virtmux")

    first.close()
    RuntimeDirectory(tmp_path / "virtmux").close()


def test_what_it_holds_is_private(tmp_path: Path) -> None:
    runtime = RuntimeDirectory(tmp_path / "virtmux")
    Ring.open(runtime.ring(KEY), 16384, 7, runtime.life)
    ring = runtime.ring(KEY)
    runtime.close()

    assert stat.S_IMODE((tmp_path / "virtmux" / "rings").stat().st_mode) == 0o700
    assert stat.S_IMODE(ring.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "virtmux" / "virtmuxd.lock").stat().st_mode) == 0o600


def test_each_console_has_a_ring_of_its_own_and_the_same_one_every_time(tmp_path: Path) -> None:
    runtime = RuntimeDirectory(tmp_path)
    keys = [
        KEY,
        KEY._replace(device="serial0.ring"),
        KEY._replace(device="console1"),
        KEY._replace(uuid="other"),
        KEY._replace(hypervisor="qemu/session/4a6b"),
        KEY._replace(hypervisor="qemu%2Fsystem%2F4a6b"),
        KEY._replace(device=""),
        KEY._replace(device="a_b", uuid="c"),
    ]
    rings = [runtime.ring(key) for key in keys]

    files = {ring.with_suffix(suffix) for ring in rings for suffix in (".ring", ".marks", ".ring.new")}
    assert len(files) == 3 * len(keys)
    assert rings == [runtime.ring(key) for key in keys]
    runtime.close()


@pytest.mark.parametrize("evil", ["../../x", "..", ".", "/etc/passwd", "a/b", "a\0b", "\u00e9\n"])
def test_no_name_leaves_the_directory(tmp_path: Path, evil: str) -> None:
    runtime = RuntimeDirectory(tmp_path / "virtmux")
    for key in (KEY._replace(device=evil), KEY._replace(uuid=evil)):
        ring = runtime.ring(key).with_suffix(".ring")
        ring.parent.mkdir(exist_ok=True)
        ring.touch()
        assert ring.resolve().is_relative_to(tmp_path / "virtmux" / "rings")
    runtime.close()


def test_the_boot_is_the_same_as_long_as_it_lasts() -> None:
    assert boot_id() == boot_id()
    assert 0 < boot_id() < 1 << 128


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
    monkeypatch.setattr("virtmuxd.service.runtime.socket.socket", lambda fileno: _made(fileno, descriptor))

    (taken,) = activated_sockets()

    with taken:
        assert (taken.getblocking(), taken.get_inheritable()) == (False, False)


_socket = socket.socket


def _made(fileno: int, descriptor: int) -> socket.socket:
    """The service manager's first one is 3, which is somebody else's in a test."""
    assert fileno == 3
    return _socket(fileno=descriptor)


async def test_the_sign_of_life_tells_how_late_the_loop_was_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_module, "_BEAT", 0.01)
    runtime = RuntimeDirectory(tmp_path / "virtmux")
    told: list[float] = []

    def beat(late: float) -> None:
        told.append(late)
        if len(told) == 1:
            asyncio.get_running_loop().call_soon(time.sleep, 0.2)
        elif len(told) == 2:
            raise EndedError

    with pytest.raises(EndedError):
        await runtime.stay_alive(beat)
    runtime.close()
    assert told[1] > 0.1


class EndedError(Exception):
    """The test has seen enough."""


def test_the_socket_for_metrics_is_told_from_those_for_clients(tmp_path: Path) -> None:
    for name, for_metrics in {"virtmux.sock": False, "virtmux-ro.sock": False, "virtmux-metrics.sock": True}.items():
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(tmp_path / name))
            assert is_for_metrics(listening) is for_metrics
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        assert is_for_metrics(listening)
