"""What is shipped: the wheel, the systemd units, and the README's tables, held against the code."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from configparser import RawConfigParser
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from virtmux.reasons import CAUSES
from virtmux.sockets import SYSTEM_SOCKET
from virtmuxd.config.instance import read_only_socket

ROOT = Path(__file__).parents[1]
UNITS = sorted((ROOT / "systemd").iterdir())
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
#: Where a wheel has what belongs below the environment's directory.
DATA = f"virtmux-{PROJECT['project']['version']}.data/data"


def shipped(directory: Path) -> list[str]:
    """The files of the wheel; where its build backend is not installed, what pyproject.toml tells that to take."""
    if importlib.util.find_spec("hatchling") is None:
        wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
        packages = [ROOT / each for each in wheel["packages"]]
        found = ((path, package.parent) for package in packages for path in package.rglob("*") if path.is_file())
        files = [str(path.relative_to(source)) for path, source in found if path.suffix != ".pyc"]
        return files + [f"{DATA}/{place}" for path, place in wheel["shared-data"].items() if (ROOT / path).exists()]
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory)]
    subprocess.run(build, check=True, capture_output=True, cwd=ROOT)
    (wheel,) = directory.glob("*.whl")
    with ZipFile(wheel) as archive:
        return [name for name in archive.namelist() if ".dist-info/" not in name]


def program(name: str) -> bool:
    return not name.startswith(DATA)


def unit(name: str) -> RawConfigParser:
    parser = RawConfigParser(delimiters=("=",), strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((ROOT / "systemd" / name).read_text())
    return parser


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of the README's table whose heading row begins with these cells."""
    _, _, table = (ROOT / "README.md").read_text().partition(f"\n| {heading} |")
    assert table, f"the README has no table {heading}"
    for line in table.splitlines()[2:]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_wheel_holds_the_three_packages_with_their_types_and_no_tests(tmp_path: Path) -> None:
    files = list(filter(program, shipped(tmp_path)))
    assert {name.split("/")[0] for name in files} == {"virtmux", "virtmuxd", "virtmux_cli"}
    assert "virtmux/py.typed" in files
    assert not [name for name in files if "test" in name or not name.endswith((".py", "py.typed"))]


def test_the_wheel_installs_the_manual_pages(tmp_path: Path) -> None:
    data = {name for name in shipped(tmp_path) if not program(name)}
    assert data == {f"{DATA}/share/man/man1/virtmux.1", f"{DATA}/share/man/man8/virtmuxd.8"}


def test_the_units_use_the_paths_that_daemon_and_command_use() -> None:
    service = unit("virtmuxd.service")["Service"]
    sockets = {name: unit(name)["Socket"] for name in ("virtmuxd.socket", "virtmuxd-ro.socket")}
    assert sockets["virtmuxd.socket"]["ListenStream"] == str(SYSTEM_SOCKET)
    assert sockets["virtmuxd-ro.socket"]["ListenStream"] == str(read_only_socket(SYSTEM_SOCKET))
    assert [socket["SocketMode"] for socket in sockets.values()] == ["0600", "0600"]
    assert Path("/run", service["RuntimeDirectory"]) == SYSTEM_SOCKET.parent
    assert Path(service["ExecStart"]).name in PROJECT["project"]["scripts"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    for path in UNITS:
        # It looks whether the program is there.
        (tmp_path / path.name).write_text(path.read_text().replace("=/usr/bin/virtmuxd", f"={sys.executable}"))
    command = ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / path.name) for path in UNITS)]
    said = subprocess.run(command, check=False, capture_output=True, text=True)
    # It may find faults in units of this machine's, too.
    assert [line for line in (said.stdout + said.stderr).splitlines() if "virtmuxd" in line] == []


def test_the_readme_lists_every_dependency_and_why_it_is_there() -> None:
    project = PROJECT["project"]
    wanted = {"base": project["dependencies"], "build": PROJECT["build-system"]["requires"]}
    wanted |= project["optional-dependencies"]
    listed = [(quoted(requirement), purpose, why) for requirement, purpose, why in rows("requirement")]
    assert sorted((requirement, purpose) for (requirement,), purpose, _ in listed) == sorted(
        (requirement, purpose) for purpose, requirements in wanted.items() for requirement in requirements
    )
    assert all(why for _, _, why in listed)


def test_the_readme_explains_every_exit_status_that_a_cause_has() -> None:
    listed = {status for status, _ in rows("status")}
    assert {str(info.exit_status) for info in CAUSES.values()} <= listed
