"""`make stranger`, or `python3 -m tests.stranger [STEP...]`: see the package.

Each step is done by root and by a person who may use sudo, on a machine of its own of each suite, that has nothing but
git and make. They clone what is committed here. What a visit said is in build/stranger; the machines are gone.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

import click

from tests.harness.privilege import run_as_root
from tests.stranger.machine import Suite
from tests.stranger.steps import BUNDLE, ROOT, USERS, script, steps

_LOGS = ROOT / "build" / "stranger"
#: Debian 12, which the README names, and the one after it.
_SUITES = ("bookworm", "trixie")
_STEPS = ("wheel", "demo", "test")


class Visit(NamedTuple):
    """Who did what where, and what came of it."""

    suite: str
    user: str
    step: str
    is_ok: bool
    seconds: float
    log: Path

    def __str__(self) -> str:
        came = "ok" if self.is_ok else "FAILED"
        log = self.log.relative_to(ROOT)
        return f"{self.suite:<10}{self.user:<10}{self.step:<7}{came:<7}{self.seconds:>6.0f} s  {log}"


def brought(directory: Path) -> None:
    """Put the repository, as it is committed, and its wheel into the directory."""
    git = ["git", "-c", "advice.detachedHead=false"]
    bundle = directory / BUNDLE
    subprocess.run([*git, "-C", ROOT, "bundle", "create", "--quiet", bundle, "HEAD"], check=True)
    build: list[str | Path] = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        "wheel",
        "--directory",
        directory,
    ]
    with tempfile.TemporaryDirectory(prefix="vmx-stranger-") as clone:
        subprocess.run([*git, "clone", "--quiet", bundle, clone], check=True)
        subprocess.run(build, check=True, cwd=clone)


@contextmanager
def place(below: Path) -> Iterator[Path]:
    """A directory for machines, which is gone afterwards with all that root has made there."""
    base = Path(tempfile.mkdtemp(prefix="vmx-stranger-", dir=below))
    try:
        yield base
    finally:
        run_as_root("rm", "-rf", "--one-file-system", base)


def visits(suite: Suite, users: Sequence[str], bringing: Path, names: Sequence[str]) -> Iterator[Visit]:
    """What comes of the steps with these names, as each is done. Where there is no such suite, none succeeds."""
    log = _LOGS / f"{suite.name}.log"
    log.unlink(missing_ok=True)
    click.echo(f"{suite.name}: debootstrap ...")
    if not suite.fetch(bringing, log):
        yield from (Visit(suite.name, user, step, False, 0.0, log) for user in users for step in names)
        return
    for user in users:
        for step in names:
            log = _LOGS / f"{suite.name}-{user}-{step}.log"
            log.unlink(missing_ok=True)
            click.echo(f"{suite.name}: {step} by {user} ...")
            began = time.monotonic()
            is_ok = suite.visit(script(step, user), user, log)
            yield Visit(suite.name, user, step, is_ok, time.monotonic() - began, log)


@click.command()
@click.option(
    "--suite", "suites", multiple=True, default=_SUITES, show_default=True, help="Of Debian; may be repeated."
)
@click.option("--user", "users", multiple=True, type=click.Choice(USERS), default=USERS, show_default=True, help="Who.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
    default="/var/tmp",
    show_default=True,
    help="Where machines are made: some GB, and no mount that forbids devices and sudo, as /tmp often does.",
)
@click.argument("names", metavar="STEP...", nargs=-1, type=click.Choice(list(steps())))
def main(suites: tuple[str, ...], users: tuple[str, ...], directory: Path, names: tuple[str, ...]) -> None:
    """Have strangers do what the README says; ends with 1 where a step failed."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    os.umask(0o022)
    _LOGS.mkdir(parents=True, exist_ok=True)
    done = []
    with place(directory) as base:
        bringing = base / "brought"
        bringing.mkdir()
        brought(bringing)
        for suite in suites:
            for visit in visits(Suite(suite, base), users, bringing, names or _STEPS):
                click.echo(str(visit))
                done.append(visit)
    click.echo("\n".join(["", *map(str, done)]))
    sys.exit(not all(visit.is_ok for visit in done))


if __name__ == "__main__":
    main()
