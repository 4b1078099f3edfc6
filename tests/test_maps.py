"""The maps of packages, in their docstrings, have each module, and so has that of what tests are made with."""

import pkgutil
import re
from importlib import import_module

import pytest

from virtmux_cli.main import COMMANDS

ROOTS = ("virtmux", "virtmuxd", "virtmux_cli", "tests.harness")
PARTS = [
    module.name
    for root in ROOTS
    for module in pkgutil.walk_packages(import_module(root).__path__, f"{root}.")
    if module.ispkg
]


@pytest.mark.parametrize("package", [*ROOTS, *PARTS])
def test_a_map_has_each_module_but_those_that_are_commands(package: str) -> None:
    mapped = import_module(package)
    named = re.findall(r"\w+", mapped.__doc__ or "")
    modules = [module.name for module in pkgutil.iter_modules(mapped.__path__) if module.name not in named]
    commands = "\n".join(f"{module}." for module in COMMANDS.values())
    missing = [name for name in modules if f"{package}.{name}." not in commands]
    assert missing == [], f"say what it is for in the docstring of {package}"
