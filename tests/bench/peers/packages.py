"""Debian's conserver and conman, unpacked and not installed: nothing outside changes, and no daemon is started."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3] / "build" / "bench-peers"
#: They, and the libraries of theirs that a machine may be without.
PACKAGES = ("conserver-server", "conman", "libwrap0", "libipmiconsole2", "libfreeipmi17", "socat")
#: Where these are, once fetched.
LIBRARIES = ROOT / "usr/lib/x86_64-linux-gnu"


class NotToBeHadError(RuntimeError):
    """It cannot be fetched; the text says why."""


def program(path: str) -> Path:
    """A program of these packages, by its path in the package. They are fetched where they are not there yet.

    Raises:
        NotToBeHadError: no apt, or no package.
    """
    if not (ROOT / path).exists():
        _fetch()
    return ROOT / path


def environment() -> dict[str, str]:
    """In which they find their libraries."""
    return {**os.environ, "LD_LIBRARY_PATH": str(LIBRARIES)}


def _fetch() -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise NotToBeHadError("there is no apt-get here")
    packages = ROOT / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(["apt-get", "download", *PACKAGES], cwd=packages, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise NotToBeHadError(f"apt-get download: {error.stderr.strip().splitlines()[-1]}") from error
    for package in packages.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", package, ROOT], check=True)
