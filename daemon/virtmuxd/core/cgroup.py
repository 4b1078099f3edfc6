"""The systemd unit that a process belongs to, as its /proc/PID/cgroup tells."""

import re
from collections.abc import Iterator

_MANAGER = re.compile(r"user@\d+\.service")
#: Units that hold processes; slices hold units.
_UNITS = (".service", ".scope", ".socket", ".mount", ".swap")


def unit_of(cgroups: str) -> str | None:
    """The unit; None where there is none. A user's own has its manager before it: `user@1000.service/x.service`.

    It is told by systemd's own hierarchy, of cgroups v1 and where both are mounted, else by that of v2.
    """
    paths: dict[str, str] = {}
    for line in cgroups.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        paths["unified" if number == "0" else controllers] = path
    found = (_unit(paths[hierarchy]) for hierarchy in ("name=systemd", "unified") if hierarchy in paths)
    return next((unit for unit in found if unit is not None), None)


def _unit(path: str) -> str | None:
    parts = iter(path.split("/"))
    unit = _next_unit(parts)
    if unit is None or not _MANAGER.fullmatch(unit):
        return unit
    own = _next_unit(parts)
    return unit if own is None else f"{unit}/{own}"


def _next_unit(parts: Iterator[str]) -> str | None:
    """What comes behind slices; below a unit are groups of its own."""
    # From another cgroup namespace the path begins with `/..`; a name like the kernel's own files has a `_` before it.
    names = (part.removeprefix("_") for part in parts if part not in ("", "..") and not part.endswith(".slice"))
    name = next(names, None)
    return name if name is not None and name.endswith(_UNITS) else None
