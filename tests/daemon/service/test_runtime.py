"""The runtime directory."""

import asyncio
import stat
import time
from pathlib import Path

import pytest

from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.service import runtime as runtime_module
from virtmuxd.service.ring import Ring
from virtmuxd.service.runtime import RuntimeDirectory, boot_id

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
