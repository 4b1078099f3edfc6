"""What is shipped: the wheel and its description, the systemd units, and what is needed for them."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.harness.pages import OPERATORS, PROJECT, README, ROOT, rows
from virtmux import __version__
from virtmux.journal.names import SYSTEM_DIRECTORY
from virtmux.sockets import SYSTEM_SOCKET
from virtmuxd import attendance
from virtmuxd.config.instance import read_only_socket
from virtmuxd.config.people import USERS, WATCHERS
from virtmuxd.config.schema import Config

UNITS = ROOT / "systemd"
DROP_INS = sorted((UNITS / "virtmuxd.service.d").iterdir())
needs_systemd_analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
#: `%t` of user units is this.
ANY_RUNTIME_DIRECTORY = {"XDG_RUNTIME_DIR": "/run/user/0"}
#: What `make install-system` puts below the prefix.
INSTALLED = (
    "lib/systemd/system/virtmuxd.service",
    "lib/systemd/system/virtmuxd.socket",
    "lib/systemd/system/virtmuxd-ro.socket",
    "lib/systemd/system/virtmux-metrics.socket",
    "lib/systemd/user/virtmuxd.service",
    "lib/systemd/user/virtmuxd.socket",
    "lib/systemd/user/virtmuxd-ro.socket",
    "lib/sysusers.d/virtmux.conf",
    "share/bash-completion/completions/virtmux",
    "share/zsh/site-functions/_virtmux",
    "share/fish/vendor_completions.d/virtmux.fish",
    "share/doc/virtmux/examples/virtmuxd.toml",
    "share/doc/virtmux/examples/qemu-ssh.conf.example",
    "share/doc/virtmux/examples/qemu-tls.conf.example",
)
#: Where a wheel has what belongs below the environment's directory.
DATA = f"virtmux-{__version__}.data/data"


def shipped(directory: Path) -> list[str]:
    """The files of the wheel; where its build backend is not installed, what pyproject.toml tells that to take."""
    if importlib.util.find_spec("hatchling") is None:
        wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
        packages = [ROOT / each for each in wheel["packages"]]
        found = ((path, package.parent) for package in packages for path in package.rglob("*") if path.is_file())
        files = [str(path.relative_to(source)) for path, source in found if path.suffix != ".pyc"]
        forced = [(ROOT / path, place) for path, place in wheel["force-include"].items()]
        files += [
            f"{place}/{path.relative_to(top)}" for top, place in forced for path in top.rglob("*") if path.is_file()
        ]
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


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_wheel_holds_the_three_packages_with_their_types_and_no_tests(tmp_path: Path) -> None:
    files = list(filter(program, shipped(tmp_path)))
    assert {name.split("/")[0] for name in files} == {"virtmux", "virtmuxd", "virtmux_cli"}
    assert "virtmux/py.typed" in files
    programs = [name for name in files if not name.startswith("virtmuxd/systemd/")]
    assert not [name for name in programs if "test" in name or not name.endswith((".py", "py.typed"))]


@pytest.mark.skipif(importlib.util.find_spec("hatchling") is None, reason="its build backend is not installed")
def test_the_description_is_the_readme_without_links_into_the_repository() -> None:
    command = [sys.executable, "-m", "hatchling", "metadata", "readme"]
    described = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert "[docs/operators.md](docs/operators.md)" in README.read_text()
    assert "docs/operators.md" in described
    assert re.findall(r"\]\((?!https?:)", described) == []


def test_the_wheel_installs_the_manual_pages_and_what_monitoring_systems_take(tmp_path: Path) -> None:
    data = {name for name in shipped(tmp_path) if not program(name)}
    monitoring = [f"virtmux/monitoring/{path.name}" for path in (ROOT / "monitoring").iterdir()]
    assert data == {f"{DATA}/share/{name}" for name in ("man/man1/virtmux.1", "man/man8/virtmuxd.8", *monitoring)}


def test_the_wheel_holds_the_units_for_install_units(tmp_path: Path) -> None:
    files = {name.removeprefix("virtmuxd/systemd/") for name in shipped(tmp_path) if "/systemd/" in name}
    assert files == {str(path.relative_to(UNITS)) for path in UNITS.rglob("*") if path.is_file()}


def test_make_install_puts_units_rules_and_completions_below_destdir_for_a_prefix(tmp_path: Path) -> None:
    make = ["make", "--silent", "-C", str(ROOT), "install-system", f"DESTDIR={tmp_path}", f"PYTHON={sys.executable}"]
    subprocess.run([*make, "PREFIX=/usr"], check=True)
    subprocess.run([*make, "PREFIX=/opt/mux"], check=True)
    files = {str(path.relative_to(tmp_path)): path for path in tmp_path.rglob("*") if path.is_file()}
    assert set(files) == {
        *(f"{prefix}/{name}" for prefix in ("usr", "opt/mux") for name in INSTALLED),
        "usr/share/polkit-1/rules.d/60-virtmux.rules",
        "etc/polkit-1/rules.d/60-virtmux.rules",
    }
    for prefix in ("usr", "opt/mux"):
        for kind in ("system", "user"):
            service = files[f"{prefix}/lib/systemd/{kind}/virtmuxd.service"].read_text()
            assert set(re.findall(r"=(/\S+/virtmuxd) ", service)) == {f"/{prefix}/bin/virtmuxd"}
        assert "virtmux" in files[f"{prefix}/share/bash-completion/completions/virtmux"].read_text()


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("hatchling", "pip"))), reason="pip or the build backend is not installed"
)
def test_make_install_puts_the_same_programs_below_any_destdir_and_asks_no_index(tmp_path: Path) -> None:
    environment = os.environ | {"PIP_INDEX_URL": "http://nobody.invalid/", "PIP_RETRIES": "0"}
    contents: list[dict[str, bytes]] = []
    for name in ("one", "other"):
        top = tmp_path / name
        make = ["make", "--silent", "-C", str(ROOT), "install-python", f"DESTDIR={top}", "PREFIX=/usr"]
        subprocess.run([*make, f"PYTHON={sys.executable}"], check=True, env=environment)
        contents.append({str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()})
    assert contents[0] == contents[1]
    assert {f"usr/bin/{program}" for program in PROJECT["project"]["scripts"]} <= contents[0].keys()
    assert not [path for path in contents[0] if path.endswith((".pyc", "direct_url.json"))]


def test_the_units_use_the_paths_that_daemon_and_command_use() -> None:
    service = unit("virtmuxd.service")["Service"]
    sockets = {name: unit(name)["Socket"] for name in ("virtmuxd.socket", "virtmuxd-ro.socket")}
    assert sockets["virtmuxd.socket"]["ListenStream"] == str(SYSTEM_SOCKET)
    assert sockets["virtmuxd-ro.socket"]["ListenStream"] == str(read_only_socket(SYSTEM_SOCKET))
    assert [socket["SocketMode"] for socket in sockets.values()] == ["0660", "0660"]
    assert [socket["SocketGroup"] for socket in sockets.values()] == [USERS, WATCHERS]
    assert Path("/run", service["RuntimeDirectory"]) == SYSTEM_SOCKET.parent
    assert Path("/var/log", service["LogsDirectory"]) == SYSTEM_DIRECTORY
    assert Path(service["ExecStart"].split()[0]).name in PROJECT["project"]["scripts"]


@pytest.mark.parametrize("name", ["virtmuxd.service", "user/virtmuxd.service"])
def test_the_service_may_have_all_the_threads_of_fifteen_hypervisors(name: str) -> None:
    threads = Config().workers + attendance._SENDERS + attendance._ERRANDS
    assert f"A hypervisor may need {threads} of them" in (UNITS / "virtmuxd.service").read_text()
    assert int(unit(name)["Service"]["TasksMax"]) > 15 * threads


@needs_systemd_analyze
@pytest.mark.parametrize("place", [".", "user"])
def test_systemd_finds_no_fault_in_the_units(tmp_path: Path, place: str) -> None:
    units = [path for path in sorted((UNITS / place).iterdir()) if path.suffix in {".service", ".socket"}]
    for path in units:
        # It looks whether the program is there.
        (tmp_path / path.name).write_text(path.read_text().replace("=/usr/bin/virtmuxd", f"={sys.executable}"))
    user = ["--user"] if place == "user" else []
    command = ["systemd-analyze", *user, "verify", "--man=no", *(str(tmp_path / path.name) for path in units)]
    said = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | ANY_RUNTIME_DIRECTORY)
    # It may find faults in units of this machine's, too.
    assert [line for line in (said.stdout + said.stderr).splitlines() if "virtmux" in line] == []


def exposure(directory: Path, *drop_ins: Path) -> float:
    """What `systemd-analyze security` says of the service; the same as --user, which has no need of /run/systemd."""
    (directory / "virtmuxd.service.d").mkdir()
    for drop_in in drop_ins:
        shutil.copy(drop_in, directory / "virtmuxd.service.d" / "drop-in.conf")
    shutil.copy(UNITS / "virtmuxd.service", directory)
    said = subprocess.run(
        ["systemd-analyze", "--user", "security", "--offline=yes", "--no-pager", str(directory / "virtmuxd.service")],
        check=True, capture_output=True, text=True,
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{directory}:", "XDG_RUNTIME_DIR": str(directory)},
    ).stdout  # fmt: skip
    found = re.search(r"Overall exposure level for virtmuxd\.service: (\d+\.\d)", said)
    assert found is not None, said
    return float(found[1])


@needs_systemd_analyze
def test_the_service_is_hardly_exposed(tmp_path: Path) -> None:
    exposed = exposure(tmp_path)
    assert exposed <= 1.1
    assert f"(`systemd-analyze security`: {exposed})" in OPERATORS.read_text()


@needs_systemd_analyze
@pytest.mark.parametrize("drop_in", DROP_INS, ids=lambda path: path.name)
def test_a_drop_in_for_remote_hypervisors_says_how_exposed_the_service_is_with_it(
    tmp_path: Path, drop_in: Path
) -> None:
    said = re.search(r"# Exposure, .*: (\d\.\d) with it, (\d\.\d) without", drop_in.read_text())
    assert said is not None
    for name, drop_ins, number in (("with", [drop_in], said[1]), ("without", [], said[2])):
        (tmp_path / name).mkdir()
        assert exposure(tmp_path / name, *drop_ins) == float(number), name


def test_the_demo_needs_none_of_the_packages_that_are_for_work_on_virtmux() -> None:
    """`make demo` does not install them; it uses the harness of the tests all the same."""
    modules = (
        "asyncssh",
        "hatchling",
        "hypothesis",
        "jsonschema",
        "pexpect",
        "pytest",
        "pytest_asyncio",
        "xdist",
        "yaml",
    )
    code = f"import sys; sys.modules |= dict.fromkeys({modules}); import tools.demo"
    roots = os.pathsep.join(["protocol", "daemon", "client"])  # nothing may be installed
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False, capture_output=True, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": roots},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_every_dependency_is_listed_with_why_it_is_there_and_what_would_replace_it() -> None:
    project = PROJECT["project"]
    wanted = {"base": project["dependencies"], "build": PROJECT["build-system"]["requires"]}
    wanted |= project["optional-dependencies"]
    listed = rows(ROOT / "docs" / "packaging.md", "requirement | for | why | what would replace it")
    assert sorted((*quoted(requirement), purpose) for requirement, purpose, _, _ in listed) == sorted(
        (requirement, purpose) for purpose, requirements in wanted.items() for requirement in requirements
    )
    assert all(why and instead for _, _, why, instead in listed)
