"""`make mutants`: in the core and the library one thing after the other is changed. What neither mypy nor a test
notices is told, but for what is in justified.toml.

Each is tried in a process of its own, by the tests that come by its lines, the quickest first. What only chance finds
is not counted upon: tests of whole lives at random are left out, and Hypothesis draws the same each time.
"""

import os
import pkgutil
import re
import resource
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter, defaultdict
from fnmatch import fnmatchcase
from importlib import import_module
from itertools import count
from pathlib import Path

import click
import pytest
from _pytest.runner import runtestprotocol
from coverage import Coverage

from tests.mutants.justified import justified
from tests.mutants.mutant import Mutant, Mutants

_ROOT = Path(__file__).parents[2]
_BUILD = _ROOT / "build" / "mutants"
#: Which tests are those of a package.
_TESTS = {"virtmuxd.": "tests/daemon/core", "virtmux.": "tests/protocol", "virtmux_cli.": "tests/client"}
#: How many are tried at once: those of edges wait, many until they are ended.
_PER_PROCESSOR = 4
_LEFT_OUT = "not at_random and not runTest"
#: What mypy says of any function that stands beside its like, and of a condition that is made constant.
_NO_ERRORS = {"has-type", "no-redef", "redundant-expr", "unreachable"}


def modules() -> list[str]:
    """All of the library, and those that pyproject.toml says are pure, by name or by their package's."""
    contracts = tomllib.loads((_ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (names,) = (contract["source_modules"] for contract in contracts if "pure" in contract["name"])
    found = []
    for name in ["virtmux", *(name for name in names if not name.startswith("virtmux."))]:
        path = getattr(import_module(name), "__path__", None)
        if path is None:
            found.append(name)
        else:
            found += [each.name for each in pkgutil.walk_packages(path, f"{name}.") if not each.ispkg]
    return found


def typed(modules: list[Mutants]) -> set[str]:
    """The codes of those in which mypy finds no error."""
    places = {str(each.path.relative_to(_ROOT)): each.places() for each in modules}
    shadows: list[str] = []
    for path, each in zip(places, modules, strict=True):
        shadow = _BUILD / f"{each.module.__name__}.py"
        shadow.write_text(each.source)
        shadows += ["--shadow-file", path, str(shadow)]
    options = ["--no-warn-unused-ignores", "--no-pretty", "--cache-dir", str(_BUILD / "mypy")]
    command = [sys.executable, "-m", "mypy", *options, *shadows, *places]
    said = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=False).stdout
    wrong = defaultdict(set)
    for path, line, kind in re.findall(r"^(\S+?):(\d+): error: .*\[([a-z-]+)\]$", said, re.MULTILINE):
        if kind not in _NO_ERRORS:
            wrong[path].add(int(line))
    return {code for path, codes in places.items() for code, lines in codes.items() if wrong[path].isdisjoint(lines)}


class Trial:
    """A plugin for pytest: it runs the tests once, and then, instead of ending, some of them for each mutant."""

    def __init__(self, modules: list[Mutants]) -> None:
        self.survivors: list[Mutant] = []
        self._modules = modules
        self._took: dict[str, float] = {}
        self._coverage = Coverage(data_file=None, include=[str(each.path) for each in modules])

    def pytest_sessionstart(self) -> None:
        """Before Hypothesis is asked for anything: imported earlier, it could not be a plugin that pytest rewrites."""
        from hypothesis import settings

        settings.register_profile("mutants", settings.default, derandomize=True, max_examples=30)
        settings.load_profile("mutants")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Each test once, to see which lines it runs and for how long; then the mutants."""
        items = {item.nodeid: item for item in session.items}
        for item in items.values():
            for module in self._modules:
                module.forget()
            begun = time.process_time()
            with self._coverage.collect():
                self._coverage.switch_context(item.nodeid)
                reports = runtestprotocol(item, nextitem=None, log=False)
            self._took[item.nodeid] = time.process_time() - begun
            for report in reports:
                if report.failed:
                    raise session.Failed(f"{item.nodeid} fails without any change:\n{report.longreprtext}")
        self._try_all(items)
        return True

    def _try_all(self, items: dict[str, pytest.Item]) -> None:
        right = typed(self._modules)
        tried = [(module, mutant) for module in self._modules for mutant in module.all if mutant.code in right]
        click.echo(f"{sum(len(each.all) for each in self._modules)} mutants, in {len(tried)} mypy finds no error")
        data = self._coverage.get_data()
        comes_by = {each.path: data.contexts_by_lineno(str(each.path)) for each in self._modules}
        running: dict[int, Mutant] = {}
        for done, (module, mutant) in enumerate(tried, 1):
            names = {name for line in mutant.lines for name in comes_by[module.path].get(line, ()) if name}
            if len(running) >= _PER_PROCESSOR * (os.cpu_count() or 1):
                self._end_one(running)
            pid = os.fork()
            if not pid:
                self._try(module, mutant, [items[name] for name in sorted(names, key=lambda name: self._took[name])])
            running[pid] = mutant
            if done % 100 == 0:
                click.echo(f"{done} tried, {len(self.survivors)} survived", err=True)
        while running:
            self._end_one(running)

    def _try(self, module: Mutants, mutant: Mutant, items: list[pytest.Item]) -> None:
        """Ends the process: with 0 where no test fails."""
        failed = True
        try:
            limit = 10 + round(10 * sum(self._took[item.nodeid] for item in items))
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
            signal.alarm(2 * limit)  # one that waits
            for number in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            module.put(mutant)
            module.forget()
            failed = any(each.failed for item in items for each in runtestprotocol(item, nextitem=None, log=False))
        finally:
            os._exit(failed)

    def _end_one(self, running: dict[int, Mutant]) -> None:
        pid, status = os.wait()
        mutant = running.pop(pid)
        if status == 0:
            self.survivors.append(mutant)


@click.command()
@click.argument("globs", metavar="MODULE...", nargs=-1)
def main(globs: tuple[str, ...]) -> None:
    """Change these modules, by globs; else all of the core and of the library. Ends with 1 where something is not
    noticed."""
    _BUILD.mkdir(parents=True, exist_ok=True)
    wanted = globs or ("virtmuxd.*", "virtmux.*")
    names = [name for name in modules() if any(fnmatchcase(name, glob) for glob in wanted)]
    numbers = count(1)
    trial = Trial([Mutants(name, numbers) for name in names])
    tests = sorted({tests for name in names for package, tests in _TESTS.items() if name.startswith(package)})
    failed = pytest.main(["-qs", "-p", "no:cacheprovider", "--tb=native", "-k", _LEFT_OUT, *tests], [trial])
    if failed:
        sys.exit(failed)
    known = Counter(each[:4] for each in justified() if each.module in names)
    survived = Counter(each.text for each in trial.survivors)
    for what, found in ("survived", survived - known), ("is justified, and does not survive", known - survived):
        for module, function, was, now in found:
            click.echo(f"{module}.{function} {what}:\n  - {was}\n  + {now}")
    click.echo(f"{survived.total()} survived, {(survived & known).total()} of them justified")
    sys.exit(survived != known)


if __name__ == "__main__":
    main()
