"""How this machine reaches Debian's archive and the Python package index, for a machine that knows nothing of it yet.

Read from where it is set here when asked: apt's sources and settings, pip's settings, the environment, the resolver.
"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

#: Where the other machine has the certificates that this one trusts.
_CERTIFICATES = "/etc/certificates-of-the-host.pem"
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
#: What apt is told of the way to an archive, and of how old its lists may be.
_APT = re.compile(r'^Acquire::(?:https?::.*|Check-\S+|Retries) ".+";$', re.MULTILINE)
#: What pip is told of the way to an index. What lies in files here is not there.
_PIP = ("index-url", "extra-index-url", "proxy", "trusted-host", "default-timeout", "retries")


class Source(NamedTuple):
    """An archive of Debian's that apt uses here; `pocket` is what follows the suite's name: "", -updates, -security."""

    uri: str
    pocket: str


def sources() -> list[Source]:
    """See `sources_in`, of what apt has here."""
    lines = "$(CODENAME) $(REPO_URI) $(ORIGIN)"
    return sources_in(_said("apt-get", "indextargets", "--format", lines, "Created-By: Packages"))


def sources_in(said: str) -> list[Source]:
    """Debian's archives, the one of the suite itself first, in lines of a code name, an address and an origin.

    Raises:
        LookupError: there is none of a suite itself.
    """
    pattern = r"^[a-z]+(|-updates|-security) (\S+) Debian$"
    found = {Source(uri, pocket) for pocket, uri in re.findall(pattern, said, re.MULTILINE)}
    if not any(source.pocket == "" for source in found):
        raise LookupError("apt has no archive of Debian's here: run 'apt-get update' as root")
    return sorted(found, key=lambda source: source.pocket)


def proxies() -> dict[str, str]:
    """The variables of the environment that name proxies, in both spellings."""
    spelled = [each for name in _PROXIES for each in (name, name.upper())]
    return {name: os.environ[name] for name in spelled if name in os.environ}


def settings(suite: str, name: str) -> dict[str, str]:
    """Files for a machine of this suite that is called `name`: their texts, by their paths."""
    pip = pip_settings_in(_said(sys.executable, "-m", "pip", "config", "list"))
    files = {
        "/etc/apt/sources.list": "".join(f"deb {uri} {suite}{pocket} main\n" for uri, pocket in sources()),
        "/etc/resolv.conf": Path("/etc/resolv.conf").read_text(),
        "/etc/hosts": f"{Path('/etc/hosts').read_text()}127.0.1.1 {name}\n",
        "/etc/environment": "".join(f"{name}={value}\n" for name, value in proxies().items()),
    }
    apt = _APT.findall(_said("apt-config", "dump"))
    options = [f"{name} = {pip[name]}" for name in _PIP if name in pip and "file:" not in pip[name]]
    if certificates := pip.get("cert", os.environ.get("SSL_CERT_FILE")):
        files[_CERTIFICATES] = Path(certificates).read_text()
        apt.append(f'Acquire::https::CAInfo "{_CERTIFICATES}";')
        options.append(f"cert = {_CERTIFICATES}")
    files["/etc/apt/apt.conf.d/99host"] = "".join(f"{line}\n" for line in apt)
    files["/etc/pip.conf"] = "".join(f"{line}\n" for line in ("[global]", *options))
    return files


def pip_settings_in(said: str) -> dict[str, str]:
    """What pip is told, whichever command it is for, as `pip config list` has it; the environment wins."""
    told = sorted((line.partition("=") for line in said.splitlines()), key=lambda parts: parts[0].startswith(":env:"))
    return {name.rpartition(".")[2]: ast.literal_eval(value) for name, _, value in told}


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
