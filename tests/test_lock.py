"""The lock of the service: it is what pyproject.toml asks for, and all of it, so that pip fetches nothing else."""

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.harness.pages import OPERATORS, PROJECT, README
from tools.lock import COMPILING, LOCK, NATIVE, NATIVE_LOCK

#: On none of these may a package of the lock need more than is in it.
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
WANTED = [
    *map(Requirement, PROJECT["project"]["dependencies"]),
    *map(Requirement, PROJECT["project"]["optional-dependencies"]["daemon"]),
    *map(Requirement, PROJECT["build-system"]["requires"]),
    Requirement(COMPILING),
]


class Pin(NamedTuple):
    """What a lock says of a package."""

    requirement: Requirement
    hashes: list[str]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        (only,) = self.requirement.specifier
        return only.version


def pins(text: str) -> Iterator[Pin]:
    """Those of a lock's text."""
    joined = re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    for line in joined.splitlines():
        requirement, *options = re.split(r"\s+--", line)
        yield Pin(Requirement(requirement), options)


LOCKED = {pin.name: pin for path in (LOCK, NATIVE_LOCK) for pin in pins(path.read_text())}


def needed(name: str) -> set[Requirement]:
    """What the package asks for as it is installed here, on any of the Pythons."""
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        found = None
    if found != LOCKED[name].version:
        pytest.skip(f"{name} is not the locked one here")
    asked = map(Requirement, metadata.requires(name) or ())
    return {each for each in asked if each.marker is None or any(holds(each.marker, python) for python in PYTHONS)}


def holds(marker: Marker, python: str) -> bool:
    """Whether it is meant here, without extras, were this the Python."""
    return marker.evaluate({"extra": "", "python_version": python, "python_full_version": f"{python}.0"})


def test_each_package_has_one_version_and_hashes_and_comes_from_no_place_in_particular() -> None:
    for pin in LOCKED.values():
        assert re.fullmatch(r"==[\w.]+", str(pin.requirement.specifier))
        assert pin.requirement.url is None
        assert pin.hashes
        assert [each for each in pin.hashes if not re.fullmatch(r"hash=sha256:[0-9a-f]{64}", each)] == []


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_the_version_is_one_that_pyproject_allows(wanted: Requirement) -> None:
    assert wanted.specifier.contains(LOCKED[canonicalize_name(wanted.name)].version)


def test_it_has_all_that_any_of_its_packages_needs_and_nothing_else() -> None:
    reached: set[str] = set()
    ahead = list(WANTED)
    while ahead:
        wanted = ahead.pop()
        name = canonicalize_name(wanted.name)
        assert name in LOCKED, f"run `make lock`: {wanted} is missing"
        assert wanted.specifier.contains(LOCKED[name].version), wanted
        if name not in reached:
            reached.add(name)
            ahead += needed(name)
    assert LOCKED.keys() == reached


def test_what_a_distribution_has_is_in_a_file_of_its_own() -> None:
    assert {pin.name for pin in pins(NATIVE_LOCK.read_text())} == NATIVE


@pytest.mark.parametrize("path", [LOCK, NATIVE_LOCK], ids=lambda path: path.name)
def test_it_says_for_which_python_it_is_and_how_it_was_made(path: Path) -> None:
    head = "".join(line for line in path.read_text().splitlines() if line.startswith("#"))
    assert f"for Python {PROJECT['project']['requires-python']}:" in head
    assert "`make lock`" in head


@pytest.mark.parametrize("page", [README, OPERATORS], ids=lambda page: page.name)
def test_a_service_is_installed_by_hashes_alone(page: Path) -> None:
    commands = re.findall(r"^.*bin/pip install .*", page.read_text(), re.MULTILINE)
    assert commands
    for command in commands:
        assert " --require-hashes " in command or command.endswith(" --no-build-isolation --no-deps ."), command
