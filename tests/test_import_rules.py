"""The rules of imports, which `make check` holds, are for what says of itself that it is pure."""

import ast
import re
from pathlib import Path

from tests.harness.pages import PROJECT, ROOT

RULES = PROJECT["tool"]["importlinter"]["contracts"]
PURE: list[str] = next(rule["source_modules"] for rule in RULES if rule["name"].startswith("The core and the protocol"))


def module(path: Path) -> str:
    """The name by which a source is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts[1:]).removesuffix(".__init__")


def says_so(path: Path) -> bool:
    """Whether the first lines say that it is pure."""
    return re.search(r"\bPure\b", ast.get_docstring(ast.parse(path.read_text())) or "") is not None


SOURCES = [path for root in ("protocol", "client", "daemon") for path in (ROOT / root).rglob("*.py")]
SAID = {module(path) for path in SOURCES if says_so(path)}


def test_what_says_that_it_is_pure_is_held_to_it() -> None:
    assert {each for each in SAID if not any(f"{each}.".startswith(f"{held}.") for held in PURE)} == set()


def test_what_is_held_to_it_says_so() -> None:
    assert set(PURE) <= SAID
