"""SECURITY.md: each claim names tests that exist. Claims that are about all sources of the daemon are tested here."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DAEMON = sorted((ROOT / "daemon").rglob("*.py"))
CLAIM = re.compile(r"^\| ([a-z]+-\d+) \| (.+?) \| (.+) \|$", re.MULTILINE)
CLAIMS = [match.groups() for match in CLAIM.finditer((ROOT / "SECURITY.md").read_text())]
#: What would run a program.
RUNNING = re.compile(
    r"(.+\.)?(create_)?subprocess(_\w+)?|pty|multiprocessing|.+\.ProcessPoolExecutor"
    r"|os\.(system|popen|fork|forkpty|exec[lv]\w*|spawn\w+|posix_spawnp?)"
)
#: What would reach, or listen on, a network.
NETWORKING = re.compile(r".+\.(create_connection|create_server|create_datagram_endpoint|open_connection|start_server)")


@cache
def collected(path: Path) -> set[str]:
    """The tests of a file as pytest names them, without their parameters: `test_x`, `TestY::test_x`."""
    return set(_tests(ast.parse(path.read_text()).body, ""))


def _tests(body: list[ast.stmt], within: str) -> Iterator[str]:
    for each in body:
        match each:
            case ast.ClassDef(name=name) if name.startswith("Test"):
                yield from _tests(each.body, f"{name}::")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if name.startswith("test_"):
                yield within + name
            case _:
                pass


def named(path: Path) -> Iterator[str]:
    """Each module that a source imports, and each attribute that it uses, with dots."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                yield from (each.name for each in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield module
                yield from (f"{module}.{each.name}" for each in names)
            case ast.Attribute():
                yield ast.unparse(node)
            case _:
                pass


def test_every_row_of_the_tables_is_a_claim_with_an_id_of_its_own() -> None:
    rows = re.findall(r"^\|(?! id |---).*", (ROOT / "SECURITY.md").read_text(), re.MULTILINE)
    ids = [claim for claim, _, _ in CLAIMS]
    assert len(ids) == len(rows)
    assert len(set(ids)) == len(ids)
    kinds = dict.fromkeys(each.partition("-")[0] for each in ids)
    assert ids == [f"{kind}-{number + 1}" for kind in kinds for number in range(sum(kind in each for each in ids))]


@pytest.mark.parametrize(("claim", "tests"), [(claim, tests) for claim, _, tests in CLAIMS])
def test_a_claim_names_tests_that_exist(claim: str, tests: str) -> None:
    listed = [re.fullmatch(r"`(tests/[\w/]+\.py)::((?:Test\w+::)?test_\w+)`", each) for each in tests.split(" ")]
    assert listed
    for each in listed:
        assert each is not None, f"{claim}: {tests}"
        assert each[2] in collected(ROOT / each[1]), each[0]


def test_the_daemon_runs_no_program() -> None:
    found = {(path.name, name) for path in DAEMON for name in named(path) if RUNNING.fullmatch(name)}
    assert found == set()


def test_the_daemon_opens_no_socket_but_unix_ones() -> None:
    opened: list[str] = []
    for path in DAEMON:
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        opened += [
            ast.unparse(call.args[0]) for call in calls if ast.unparse(call.func) == "socket.socket" and call.args
        ]
    assert set(opened) == {"socket.AF_UNIX"}
    assert {name for path in DAEMON for name in named(path) if NETWORKING.fullmatch(name)} == set()
