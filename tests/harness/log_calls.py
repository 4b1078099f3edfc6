"""The log records that the daemon's sources make, as their syntax trees tell."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}


class Record(NamedTuple):
    """A record that may be made: its constant message, its level where that is constant, and the facts that are named
    where it is made."""

    where: str
    message: str
    level: str | None
    facts: frozenset[str]


def records(root: Path) -> Iterator[Record]:
    """All that are made below `root`. Raises AssertionError where a message is not constant."""
    for path in sorted(root.rglob("*.py")):
        tree = ast.parse(path.read_text())
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and _is_log(call.func):
                assert isinstance(call.func, ast.Attribute)
                where = f"{path.relative_to(root)}:{call.lineno}"
                said = call.args[1] if call.func.attr == "log" else call.args[0]
                for message in _constants(said, tree):
                    yield Record(where, message, _LEVELS.get(call.func.attr), frozenset(_facts(call)))


def _is_log(function: ast.expr) -> bool:
    names = {*_LEVELS, "log"}
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "_log"
        and function.attr in names
    )


def _constants(said: ast.expr, tree: ast.Module) -> list[str]:
    """The texts that an expression may be: constant, one of two, out of a table, or what a method is called with."""
    match said:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=one, orelse=other):
            return _constants(one, tree) + _constants(other, tree)
        case ast.Subscript(value=ast.Name(id=name)):
            return [text for value in _table(name, tree).values for text in _constants(value, tree)]
        case ast.Name(id=name):
            passed = [call.args[0] for call in ast.walk(tree) if isinstance(call, ast.Call) and _is_teller(call.func)]
            assert passed, f"{name} is no constant"
            return [text for argument in passed for text in _constants(argument, tree)]
        case _:
            raise AssertionError(f"{ast.unparse(said)} is no constant message")


def _table(name: str, tree: ast.Module) -> ast.Dict:
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=found)], value=ast.Dict() as table) if found == name:
                return table
            case ast.AnnAssign(target=ast.Name(id=found), value=ast.Dict() as table) if found == name:
                return table
            case _:
                pass
    raise AssertionError(f"no table {name}")


def _is_teller(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and function.attr == "_tell"


def _facts(call: ast.Call) -> Iterator[str]:
    for keyword in call.keywords:
        if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict):
            yield from _keys(keyword.value)


def _keys(table: ast.Dict) -> Iterator[str]:
    return (key.value for key in table.keys if isinstance(key, ast.Constant) and isinstance(key.value, str))


def names(root: Path) -> frozenset[str]:
    """All that is a key of some mapping, or a field of some type, below `root`: what a fact can be called."""
    found: set[str] = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Dict):
                found |= set(_keys(node))
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(node.target.id)
    return frozenset(found)
