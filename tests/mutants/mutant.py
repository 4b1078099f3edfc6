"""The mutants of a module: each of its functions over and over, with one thing changed each time, by mutmut's rules."""

import ast
from collections.abc import Iterator
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from textwrap import indent
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

#: What of a function is not its code.
_NO_CODE = (cst.Annotation, cst.Decorator, cst.Parameters)


class Mutant(NamedTuple):
    """A function, by its module and its name there; which lines are run to come by the change, and how it reads."""

    module: str
    function: str
    lines: range
    was: str
    now: str
    code: str
    """What the function is called in `Mutants.source`."""

    @property
    def text(self) -> tuple[str, str, str, str]:
        """What says which it is also when other code has changed."""
        return self.module, self.function, self.was, self.now


class Mutants:
    """Those of a module. Its `source` has them beside their functions: all are checked, and compiled, at once."""

    def __init__(self, name: str, numbers: Iterator[int]) -> None:
        """`numbers` count them over all modules: in a class that inherits none has the name of another."""
        self.module = import_module(name)
        self.path = Path(str(self.module.__file__))
        self.all: list[Mutant] = []
        text = self.path.read_text()
        wrapper = MetadataWrapper(cst.parse_module(text))
        places: Any = wrapper.resolve(PositionProvider)
        lines = text.splitlines()
        beside: dict[int, list[str]] = {}
        for function, node in _functions(wrapper.module):
            was = _lines(node)
            for old, new in _changes(node.body):
                code = f"{node.name.value}__mutant_{next(numbers)}"
                mutated: Any = node.deep_replace(old, new)
                place = places.get(old, places[node])
                change = _difference(was, _lines(mutated))
                if _changes_nothing(old, *change):
                    continue
                self.all.append(Mutant(name, function, range(place.start.line, place.end.line + 1), *change, code))
                copy = _lines(mutated.with_changes(name=cst.Name(code), leading_lines=()))
                depth = "    " * function.count(".")
                beside.setdefault(places[node].end.line, []).append(indent("\n".join(copy), depth))
        source = (text for number, line in enumerate(lines, 1) for text in (line, *beside.get(number, ())))
        self.source = "\n".join(source)
        self._codes = {code.co_name: code for code in _codes(compile(self.source, self.path, "exec"))}

    def places(self) -> dict[str, range]:
        """The lines of each in the source."""
        return {
            node.name: range(node.lineno, (node.end_lineno or 0) + 1)
            for node in ast.walk(ast.parse(self.source))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "__mutant_" in node.name
        }

    def put(self, mutant: Mutant) -> None:
        """In this process the function does from now on what the mutant does."""
        of: Any = self.module
        for name in mutant.function.split("."):
            of = vars(of)[name]
        while not isinstance(of, FunctionType) or hasattr(of, "__wrapped__"):  # a property, or decorated
            of = of.fget if isinstance(of, property) else of.__wrapped__
        of.__code__ = self._codes[mutant.code]

    def forget(self) -> None:
        """What a function keeps (`functools.cache`) is made anew."""
        for value in vars(self.module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def _functions(node: cst.CSTNode, inside: str = "") -> Iterator[tuple[str, cst.FunctionDef]]:
    """Those of a module and of its classes, by their names."""
    for child in node.children:
        if isinstance(child, cst.FunctionDef):
            yield f"{inside}{child.name.value}", child
        else:
            yield from _functions(child, f"{inside}{child.name.value}." if isinstance(child, cst.ClassDef) else inside)


def _changes(node: cst.CSTNode) -> Iterator[tuple[cst.CSTNode, cst.CSTNode]]:
    """What may stand in the place of what. A string with a space in it is a text for people."""
    if isinstance(node, _NO_CODE) or (isinstance(node, cst.SimpleString) and " " in node.value):
        return
    for kind, operator in mutation_operators:
        if isinstance(node, kind):
            yield from ((node, new) for new in operator(node))
    for child in node.children:
        yield from _changes(child)


def _changes_nothing(node: cst.CSTNode, was: str, now: str) -> bool:
    """Whether it does the same by the rules of the language: digits of the escapes in a raw string that have another
    case, a match without the case that does nothing, and a zip() without the word that what it is given is as long."""
    is_raw = isinstance(node, cst.SimpleString) and "r" in node.prefix
    alike = was.replace("strict=True", "") == now.replace("strict=False", "")
    return (is_raw and was.lower() == now.lower()) or was.startswith("case _: pass") or alike


def _lines(function: cst.FunctionDef) -> list[str]:
    code: str = cst.Module([function]).code
    return code.splitlines()


def _difference(was: list[str], now: list[str]) -> tuple[str, str]:
    """The lines in which they differ, each as one."""
    head = _common(was, now)
    was, now = was[head:], now[head:]
    tail = _common(was[::-1], now[::-1])
    before, after = (" ".join(line.strip() for line in each[: len(each) - tail]) for each in (was, now))
    return before, after


def _common(one: list[str], other: list[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)
