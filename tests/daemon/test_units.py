"""`virtmuxd --install-units`: which files it writes where, and what it says and refuses."""

import sys
from pathlib import Path

import pytest

from virtmuxd import units
from virtmuxd.config.instance import Instance

ROOT = Path(__file__).parents[2]
PROGRAM = Path("/opt/virtmux/bin/virtmuxd")


@pytest.fixture
def python_outside_homes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")


def files(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("python_outside_homes")
def test_the_systems_units_go_to_etc_with_the_path_of_the_program_that_runs(tmp_path: Path) -> None:
    said = list(units.install(Instance.SYSTEM, PROGRAM, {}, root=tmp_path))
    written = files(tmp_path / "etc")
    assert set(written) == {
        "systemd/system/virtmuxd.service",
        "systemd/system/virtmuxd.socket",
        "systemd/system/virtmuxd-ro.socket",
        "systemd/system/virtmux-metrics.socket",
        "systemd/system/virtmuxd.service.d/qemu-ssh.conf.example",
        "systemd/system/virtmuxd.service.d/qemu-tls.conf.example",
        "sysusers.d/virtmux.conf",
        "polkit-1/rules.d/60-virtmux.rules",
    }
    service = written["systemd/system/virtmuxd.service"]
    assert f"ExecStart={PROGRAM} --system\n" in service
    assert f"ExecReload={PROGRAM} --system --check-config\n" in service
    assert "=/usr/bin/virtmuxd" not in service
    assert len([line for line in said if line.startswith("written: ")]) == len(written)
    assert "    systemd-sysusers" in said


def test_a_users_units_go_to_the_users_directory(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    list(units.install(Instance.SESSION, PROGRAM, home))
    written = files(tmp_path)
    assert set(written) == {
        f".config/systemd/user/{name}" for name in ("virtmuxd.service", "virtmuxd.socket", "virtmuxd-ro.socket")
    }
    assert f"ExecStart={PROGRAM} --session\n" in written[".config/systemd/user/virtmuxd.service"]
    list(units.install(Instance.SESSION, PROGRAM, home | {"XDG_CONFIG_HOME": str(tmp_path / "own")}))
    assert (tmp_path / "own/systemd/user/virtmuxd.service").exists()


def test_what_is_there_already_stays_and_what_was_changed_is_kept_and_named(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    list(units.install(Instance.SESSION, PROGRAM, home))
    changed = tmp_path / ".config/systemd/user/virtmuxd.service"
    shipped = changed.read_text()
    changed.write_text("mine\n")
    said = list(units.install(Instance.SESSION, PROGRAM, home))
    assert f"written: {changed}; it was another, which is now virtmuxd.service.old" in said
    assert len([line for line in said if line.startswith("is there already: ")]) == 2
    assert (changed.read_text(), changed.with_name("virtmuxd.service.old").read_text()) == (shipped, "mine\n")


def test_a_program_that_the_service_could_not_see_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(units.UnitsError, match="home directory"):
        list(units.install(Instance.SYSTEM, Path("/home/alice/.venv/bin/virtmuxd"), {}, root=tmp_path))
    monkeypatch.setattr(sys, "executable", "/root/.pyenv/bin/python3")
    with pytest.raises(units.UnitsError, match="home directory"):
        list(units.install(Instance.SYSTEM, PROGRAM, {}, root=tmp_path))
    assert not any(tmp_path.iterdir())


def test_a_path_that_a_unit_would_read_otherwise_is_refused(tmp_path: Path) -> None:
    for path in ("/opt/with space/virtmuxd", "/opt/100%/virtmuxd", "/opt/$HOME/virtmuxd"):
        with pytest.raises(units.UnitsError, match="cannot stand in a unit"):
            list(units.install(Instance.SESSION, Path(path), {"HOME": str(tmp_path)}))


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / ".config").write_text("a file")
    with pytest.raises(units.UnitsError, match=r"\.config/systemd/user"):
        list(units.install(Instance.SESSION, PROGRAM, {"HOME": str(tmp_path)}))


def test_every_file_of_the_directory_has_its_place() -> None:
    shipped = {path for path in (ROOT / "systemd").rglob("*") if path.is_file()}
    placed = {path for pattern in (*units._SYSTEM_PLACES, "user/*") for path in (ROOT / "systemd").glob(pattern)}
    assert placed == shipped
