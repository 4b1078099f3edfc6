"""Writes the lock of the service: all that it installs, each at one version and by its hashes.

The ranges of pyproject.toml are for the library; a service gets what was tested. In the lock are also the tools that
build virtmux and libvirt-python: an isolated build would fetch them without looking at their hashes.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

COMMAND = "make lock"
ROOT = Path(__file__).parents[1]
LOCK = ROOT / "daemon" / "requirements.txt"
#: What a distribution has, built for its own libraries.
NATIVE_LOCK = ROOT / "daemon" / "requirements-native.txt"
NATIVE = frozenset({"libvirt-python", "uvloop"})
#: What builds libvirt-python, which comes as source.
COMPILING = "setuptools"

HEADER = """\
# What virtmux installs as a service, for Python {python}: by version, and by the hashes of the files.
# {what}
# These were the newest versions that pyproject.toml allowed when `{command}` wrote this. README.md says how to install.
"""
WHAT = {
    LOCK: f"Here is what builds virtmux, and all of virtmux[daemon] but what {NATIVE_LOCK.name} has.",
    NATIVE_LOCK: "Here is what fits a libvirt and a Python: where a distribution has it, as Debian does, take its own.",
}


def files(project: dict[str, Any], pins: list[str]) -> dict[Path, str]:
    """What belongs in each file: `pins` are those of uv."""
    found = {LOCK: "", NATIVE_LOCK: ""}
    for pin in pins:
        found[NATIVE_LOCK if pin.partition("==")[0] in NATIVE else LOCK] += pin
    python = project["project"]["requires-python"]
    return {path: HEADER.format(python=python, what=WHAT[path], command=COMMAND) + text for path, text in found.items()}


def resolved(project: dict[str, Any]) -> list[str]:
    """Each package with its version, hashes and what needs it, as uv finds them: one for all Pythons and
    machines."""
    python = project["project"]["requires-python"].removeprefix(">=")
    building = "\n".join([*project["build-system"]["requires"], COMPILING])
    said = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--fork-strategy", "fewest",
         "--python-version", python, "--generate-hashes", "--no-header", "--extra", "daemon", "pyproject.toml", "-"],
        input=building, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT,
    ).stdout  # fmt: skip
    return re.findall(r"^\S.*\n(?:[ ].*\n)*", said, re.MULTILINE)


def main() -> None:
    """Write the files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for path, text in files(project, resolved(project)).items():
        path.write_text(text)


if __name__ == "__main__":
    main()
