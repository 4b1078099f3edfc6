"""Where virsh has its options: those of its own stand before the command; some need not be named. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

_WITH_VALUE = frozenset({"-c", "--connect", "-e", "--escape"})
_FLAGS = frozenset({"-q", "--quiet"})
#: Those of `virtmux` itself, which stay.
_OURS = frozenset({"--socket", "-H", "--host"})
#: An older libvirt's other name for the first console, where that is a serial port and goes by its alias in the XML.
_FIRST = "console0"


class Meant(NamedTuple):
    """Of which domain which device is meant."""

    domain: str
    device: str | None


def meant(words: Sequence[str], domain: str | None, device: str | None) -> Meant:
    """What `console` is to connect to: what no option says is said by a word, first the domain.

    Raises:
        ValueError: one is missing, or there is one too many; the text is virsh's.
    """
    left = list(words)
    if domain is None and not left:
        raise ValueError("command 'console' requires <domain> option")
    domain = left.pop(0) if domain is None else domain
    device = left.pop(0) if device is None and left else device
    if left:
        raise ValueError(f"unexpected data '{left[0]}'")
    return Meant(domain, device)


def default_uri(environ: Mapping[str, str]) -> str | None:
    """The hypervisor that virsh takes where no option names one; None where libvirt is to choose."""
    return environ.get("VIRSH_DEFAULT_CONNECT_URI") or environ.get("LIBVIRT_DEFAULT_URI") or None


def known(device: str | None, devices: Sequence[str]) -> str | None:
    """A device by the name that it has among `devices`; None where the first is meant."""
    return None if device == _FIRST and device not in devices else device


def behind_the_command(arguments: Sequence[str]) -> list[str]:
    """`-c URI console web1` as `console -c URI web1`; the command lines of other commands are left as they are."""
    moved: list[str] = []
    ours: list[str] = []
    at = 0
    while at < len(arguments) and arguments[at].startswith("-"):
        name, assigned, _ = arguments[at].partition("=")
        if name not in _WITH_VALUE | _FLAGS | _OURS:
            break
        size = 1 if name in _FLAGS or assigned else 2
        (ours if name in _OURS else moved).extend(arguments[at : at + size])
        at += size
    if list(arguments[at : at + 1]) != ["console"]:
        return list(arguments)
    return [*ours, "console", *moved, *arguments[at + 1 :]]
