"""Which processes of this host may hold a console: those whose command lines look like it."""

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePath

from virtmux.reasons import Reason
from virtmux_cli.doctor.accounts import user_name
from virtmux_cli.doctor.console import Holder

_PROC = Path("/proc")
#: What may have a console open without naming it.
_PERHAPS = frozenset({"virt-manager", "virt-viewer", "gnome-boxes", "cockpit-bridge", "conserver"})
_INTERPRETERS = re.compile(r"(?:python[\d.]*|perl|sh|bash|dash)")
_LONGEST = 200


def find_holders(names: Collection[str], why_not: Reason, proc: Path = _PROC) -> list[Holder]:
    """Who may hold the console of a domain that has these names; sure ones first."""
    locked_by = _locked_by(why_not)
    found = [holder for pid in _pids(proc) if (holder := _look(proc, pid, names, locked_by)) is not None]
    return sorted(found, key=lambda holder: not holder.sure)


def _locked_by(why_not: Reason) -> int | None:
    """The process that libvirt's error names, where the device has a lock file."""
    message = why_not.error.message if why_not.error is not None else ""
    named = re.search(r"process (\d+)", message)
    return int(named[1]) if named is not None else None


def _pids(proc: Path) -> Iterator[int]:
    return (int(each.name) for each in proc.iterdir() if each.name.isdecimal())


def _look(proc: Path, pid: int, names: Collection[str], locked_by: int | None) -> Holder | None:
    try:
        line = (proc / str(pid) / "cmdline").read_bytes()
        uid = (proc / str(pid)).stat().st_uid
    except OSError:
        return None  # it has ended
    words = [word.decode(errors="replace") for word in line.split(b"\0") if word]
    sure = pid == locked_by or is_virsh_console(words, names)
    if not sure and program(words) not in _PERHAPS:
        return None
    return Holder(pid, user_name(uid), " ".join(words)[:_LONGEST], sure)


def program(words: Sequence[str]) -> str:
    """What a command line runs; of an interpreter its script."""
    for word in words:
        name = PurePath(word).name
        if not word.startswith("-") and _INTERPRETERS.fullmatch(name) is None:
            return name
    return ""


def is_virsh_console(words: Sequence[str], names: Collection[str]) -> bool:
    """Whether it is `virsh console` of a domain by one of these names."""
    if program(words) != "virsh" or "console" not in words:
        return False
    return any(name in words[words.index("console") + 1 :] for name in names)
