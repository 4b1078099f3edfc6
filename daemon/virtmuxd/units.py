"""`virtmuxd --install-units`: writes the systemd units, and what they need, for a virtmuxd that no package brought.

The files are those of the directory systemd/, with the path of the virtmuxd that runs. Nothing is enabled or started.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from virtmuxd.config.instance import Instance, config_home

#: Where units expect the program.
_PACKAGED = "/usr/bin/virtmuxd"
#: A path that stands in a unit as it is.
_PLAIN = re.compile(r"[\w/.+@:=,-]+", re.ASCII)
#: What ProtectHome=yes hides from the service.
_HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user")))

_SYSTEM_PLACES = {
    "*.service": "etc/systemd/system",
    "*.socket": "etc/systemd/system",
    "virtmuxd.service.d/*": "etc/systemd/system/virtmuxd.service.d",
    "sysusers.d/*": "etc/sysusers.d",
    "polkit/*": "etc/polkit-1/rules.d",
}

_SYSTEM_STEPS = (
    "systemd-sysusers",
    "systemctl daemon-reload",
    "systemctl try-restart virtmuxd.service    # where it runs already: clients go on",
    "systemctl enable --now virtmuxd.socket virtmuxd-ro.socket virtmuxd.service",
    "usermod -aG virtmux NAME    # each who is to use consoles; virtmux-watch: who is only to watch",
)
_SESSION_STEPS = (
    "systemctl --user daemon-reload",
    "systemctl --user try-restart virtmuxd.service    # where it runs already: clients go on",
    "systemctl --user enable --now virtmuxd.socket virtmuxd-ro.socket virtmuxd.service",
)


class UnitsError(Exception):
    """The units cannot be written, or would be of no use; the text says why and what to do."""


class Unit(NamedTuple):
    """A file to write."""

    target: Path
    text: str


def install(instance: Instance, program: Path, environ: Mapping[str, str], *, root: Path = Path("/")) -> Iterator[str]:
    """Write the files below `root` and tell, line by line, what was written and what comes next.

    A file that is there and says something else is kept beside the new one.

    Raises:
        UnitsError: see there.
    """
    if not _PLAIN.fullmatch(str(program)):
        raise UnitsError(f"{program}: such a path cannot stand in a unit; install virtmux at another")
    is_system = instance is Instance.SYSTEM
    if is_system:
        _require_visible(program)
    for unit in _system_units(root, program) if is_system else _session_units(environ, program):
        yield _write(unit)
    yield "nothing is enabled or started; the next steps are:"
    yield from (f"    {step}" for step in (_SYSTEM_STEPS if is_system else _SESSION_STEPS))


def program() -> Path:
    """The virtmuxd that runs."""
    return Path(sys.argv[0]).absolute()


def _shipped() -> Path:
    """The directory systemd/: in the package, or, in a checkout, at its top."""
    packaged = Path(__file__).with_name("systemd")
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "systemd"


def _require_visible(program: Path) -> None:
    """The service's user must be able to run the program, and the Python that it is for."""
    for path in (program.resolve(), Path(sys.executable).resolve()):
        if any(path.is_relative_to(hidden) for hidden in _HIDDEN):
            raise UnitsError(
                f"{path} is in a home directory, which the service cannot see; install virtmux elsewhere, with a "
                "Python that is elsewhere: /usr/bin/python3 -m venv /opt/virtmux"
            )


def _system_units(root: Path, program: Path) -> list[Unit]:
    shipped = _shipped()
    return [
        Unit(root / place / source.name, _with_path(source, program))
        for pattern, place in _SYSTEM_PLACES.items()
        for source in sorted(shipped.glob(pattern))
    ]


def _session_units(environ: Mapping[str, str], program: Path) -> list[Unit]:
    place = config_home(environ) / "systemd" / "user"
    sources = sorted((_shipped() / "user").iterdir())
    return [Unit(place / source.name, _with_path(source, program)) for source in sources]


def _with_path(source: Path, program: Path) -> str:
    return source.read_text("utf-8").replace(f"={_PACKAGED}", f"={program}")


def _write(unit: Unit) -> str:
    """Write one file; what was done, in a line.

    Raises:
        UnitsError: it cannot be written.
    """
    target, text = unit
    try:
        former = target.read_text("utf-8") if target.exists() else None
        if former == text:
            return f"is there already: {target}"
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        kept = target.with_name(f"{target.name}.old")
        if former is not None:
            target.replace(kept)
        target.write_text(text, "utf-8")
        target.chmod(0o644)
    except OSError as error:
        raise UnitsError(
            f"{error.filename}: {error.strerror}; the system's units are for root, a user's for --session"
        ) from error
    return f"written: {target}" if former is None else f"written: {target}; it was another, which is now {kept.name}"
