"""`make fuzz`: all targets under atheris, two at a time, for some minutes in all.

New inputs go to build/fuzz/TARGET, what breaks a target to build/fuzz/TARGET-found. With `--keep` those that lead to
code to which no kept one leads are put into tests/fuzz/corpus.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha1
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import click

from tests.fuzz.target import CORPUS, Target
from tests.fuzz.targets import TARGETS

_BUILD = Path(__file__).parents[2] / "build" / "fuzz"
#: Bytes of an input, seconds that one may take, and MiB that the process may.
_LIMITS = ("-max_len=8192", "-timeout=20", "-rss_limit_mb=1024")
#: What libFuzzer says now and then, and at the end.
_STATE = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+) ft: \d+ corp: (\d+)/")


class Run(NamedTuple):
    """What came of a target: inputs tried, pieces of code reached, inputs that lead there; and what broke it."""

    target: Target
    tried: int
    code: int
    inputs: int
    found: list[Path]

    def __str__(self) -> str:
        said = f"{self.target.name:<18}{self.tried:>10} tried {self.code:>6} reached {self.inputs:>5} inputs"
        return "\n".join([said, *(f"  BROKEN by {each}" for each in self.found)])


def guided(target: Target, *arguments: str | Path) -> str:
    """Run it; gives what was said."""
    program = _BUILD / f"{target.name}-run"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.fuzz.guided {target.name} "$0" "$@"\n')
    program.chmod(0o755)
    command: list[str | Path] = [program, *_LIMITS, *arguments]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False).stderr


def fuzz(target: Target, seconds: int) -> Run:
    """Look for new inputs for so long."""
    corpus, found = _BUILD / target.name, _BUILD / f"{target.name}-found"
    for directory in (corpus, found):
        directory.mkdir(parents=True, exist_ok=True)
    known = set(found.iterdir())
    for data in target.inputs():
        (corpus / sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)
    said = guided(target, f"-max_total_time={seconds}", f"-artifact_prefix={found}/", corpus)
    states = _STATE.findall(said)
    tried, code, inputs = map(int, states[-1]) if states else (0, 0, 0)
    broken = sorted(set(found.iterdir()) - known)
    if broken or not states:
        (found.with_suffix(".log")).write_text(said)
    return Run(target, tried, code, inputs, broken)


def keep(target: Target) -> None:
    """Put those that lead to more code than what is kept beside that, each as small as was found."""
    kept = CORPUS / target.name
    kept.mkdir(exist_ok=True)
    guided(target, "-merge=1", kept, _BUILD / target.name)


def runs(targets: list[Target], seconds: int) -> Iterator[Run]:
    """What comes of each, as it is done: as many at a time as there are processors."""
    at_once = max(1, min(len(targets), os.cpu_count() or 1))
    each = max(1, seconds * at_once // len(targets))
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(lambda target: fuzz(target, each), targets)


@click.command()
@click.option("--minutes", default=10.0, show_default=True, help="For how long, in all.")
@click.option("--keep", "keeps", is_flag=True, help="Keep what leads to new code.")
@click.argument("names", metavar="TARGET...", nargs=-1, type=click.Choice(sorted(TARGETS)))
def main(minutes: float, keeps: bool, names: tuple[str, ...]) -> None:
    """Look for inputs that break something; ends with 1 where one was found."""
    if find_spec("atheris") is None:
        raise click.ClickException(
            "atheris is not installed; for this Python there may be none (`pip install atheris`)"
        )
    targets = [TARGETS[name] for name in names or TARGETS]
    click.echo(f"{len(targets)} targets, {minutes:g} minutes in all")
    broken = False
    for run in runs(targets, round(minutes * 60)):
        click.echo(str(run))
        broken = broken or bool(run.found) or not run.tried
        if keeps:
            keep(run.target)
    sys.exit(broken)


if __name__ == "__main__":
    main()
