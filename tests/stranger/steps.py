"""What somebody does on a fresh machine: shell scripts, each for one visit, with the README's own commands.

A person has a home directory that is closed to others, and a umask that closes to them whatever is written.
"""

import re
from pathlib import Path

from tests.stranger.machine import BROUGHT

ROOT = Path(__file__).parents[2]
#: The name of the file with the repository, which a machine is given.
BUNDLE = "virtmux.bundle"
#: Who comes: root, or somebody who may use sudo without being asked for a password, as tests must.
USERS = ("root", "stranger")

_CLONE = f"""
git -c advice.detachedHead=false clone --quiet {BROUGHT}/{BUNDLE} virtmux
cd virtmux
"""

# The test driver is part of libvirt's library: it is a hypervisor where none is installed.
_WHEEL = """
sudo apt-get -qq -y install --no-install-recommends python3-venv
python3 -m venv environment
environment/bin/pip install --quiet {wheel}
environment/bin/virtmux --version
status=0
environment/bin/virtmux list || status=$?
[ $status = 5 ]
environment/bin/virtmuxd 2>said && exit 1
grep -F "pip install 'virtmux[daemon]'" said
{packages}
environment/bin/pip install --quiet "$(echo {wheel})[daemon]"
environment/bin/pip check
environment/bin/virtmuxd --uri test:///default --socket "$PWD/run/virtmux.sock" --journal-directory "$PWD/journal" &
until environment/bin/virtmux --socket "$PWD/run/virtmux.sock" status; do sleep 0.2; done
environment/bin/virtmux --socket "$PWD/run/virtmux.sock" list
kill $!
wait $!
"""


def _compiling() -> str:
    """The README's command that installs what libvirt's binding is compiled with."""
    found = re.search(r"^sudo apt-get install .*libvirt-dev.*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert found is not None
    return found[0].replace(" install ", " -qq -y install ")


def steps() -> dict[str, str]:
    """The scripts by their names."""
    return {
        "wheel": _WHEEL.format(wheel=f"{BROUGHT}/*.whl", packages=_compiling()),
        "demo": f"{_CLONE}make demo",
        "unit": f"{_CLONE}make setup\nmake check\nmake unit",
        "test": f"{_CLONE}make test",
    }


def script(step: str, user: str) -> str:
    """The step as this user does it."""
    first = 'sudo() { "$@"; }' if user == "root" else "umask 077"
    return f"set -eux\n{first}\nexport DEBIAN_FRONTEND=noninteractive\n{steps()[step]}"
