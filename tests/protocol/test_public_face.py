"""What `import virtmux` gives, and what it costs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import virtmux.sync


def test_every_public_name_can_be_had() -> None:
    for name in virtmux.__all__:
        assert getattr(virtmux, name) is not None
    assert dir(virtmux) == sorted(virtmux.__all__)
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        virtmux.other  # noqa: B018


def test_a_type_checker_is_told_of_each_name_where_it_is_loaded_from() -> None:
    module = ast.parse(Path(virtmux.__file__).read_text(encoding="utf-8"))
    (checking,) = (node for node in module.body if isinstance(node, ast.If))
    imports = [node for node in checking.body if isinstance(node, ast.ImportFrom)]
    told = {name.name: node.module for node in imports for name in node.names}
    assert told == {name: f"virtmux.{where}" for name, where in virtmux._MODULES.items()}
    assert set(virtmux.__all__) == {*told, "__version__"}


def parts(hint: object) -> Iterator[object]:
    """A type, and those that it is made of."""
    yield hint
    for part in hint if isinstance(hint, list) else get_args(hint):
        yield from parts(part)


@pytest.mark.parametrize("face", [virtmux.Client, virtmux.Console, virtmux.sync.Client, virtmux.sync.Console])
def test_every_type_that_a_method_takes_or_gives_has_a_public_name(face: type) -> None:
    public = [virtmux.sync.Console, *(getattr(virtmux, name) for name in virtmux.__all__)]
    methods = [getattr(each, "fget", each) for name, each in vars(face).items() if not name.startswith("_")]
    hints = [hint for method in methods for hint in get_type_hints(method).values()]
    used = [part for hint in hints for part in parts(hint) if getattr(part, "__module__", "").startswith("virtmux")]
    assert [part for part in used if part not in public] == []


def test_the_wire_is_light() -> None:
    script = "import sys, virtmux.wire; print(*{'asyncio', 'virtmux.client', 'virtmux.messages'} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert run.stdout.split() == []
