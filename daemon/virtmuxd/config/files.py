"""Reads the configuration's files, checks each by itself, and puts them together.

Each is checked alone, so that a fault is told with its file; and all faults are told at once.
"""

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeGuard, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.inspect import EnumType, LiteralType, type_info
from msgspec.structs import FieldInfo

from virtmuxd.config.errors import ConfigError
from virtmuxd.config.schema import Config

#: How much of a value an error repeats.
_MAX_VALUE = 60
#: What msgspec calls what is expected, and what a person does.
_WORDS = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false", "array": "a list"}
_TYPE = re.compile(rf"{'|'.join(_WORDS)}| \| null|`")
#: Lists of rules, of which the first counts: those of a later file stand before those of the ones before it.
_RULES = ("console", "access")
#: Lists of what there is: those of all files together.
_TOGETHER = ("hypervisor",)


class Document(NamedTuple):
    """A file, and what it says."""

    path: Path
    content: dict[str, Any]


def drop_ins(path: Path) -> list[Path]:
    """The files beside `path` that add to it: FILE.d/*.toml, in the order of their names.

    Raises:
        ConfigError: it cannot be seen which there are: what is not read may have been to deny something.
    """
    directory = path.with_name(f"{path.name}.d")
    try:
        names = sorted(each.name for each in os.scandir(directory))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"{directory}: {error.strerror}") from error
    return [directory / name for name in names if name.endswith(".toml") and not name.startswith(".")]


def load(paths: Sequence[Path], look: Callable[[Config], Iterable[str]] = lambda _: ()) -> Config:
    """Read files; what a later one says wins. `look` tells what else is wrong with one, where its keys are in order.

    Raises:
        ConfigError: one cannot be read, is not TOML, or does not say what can be said.
    """
    documents, found = [], list[str]()
    for path in paths:
        try:
            documents.append(Document(path, _parse(path)))
        except ConfigError as error:
            found.append(f"{path}: {error}")
    for path, content in documents:
        wrong = list(faults(content, Config)) or look(msgspec.convert(content, Config))
        found += [f"{path}: {fault}" for fault in wrong]
    if found:
        raise ConfigError("\n".join(found))
    return msgspec.convert(_together(documents), Config)


def _parse(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file() and path.exists():
            raise ConfigError("no file")
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(str(error.strerror)) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not TOML: {error}") from error


def _together(documents: list[Document]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for _, content in documents:
        for key, value in content.items():
            if key in _RULES:
                merged[key] = [*value, *merged.get(key, ())]
            elif key in _TOGETHER:
                merged[key] = [*merged.get(key, ()), *value]
            elif isinstance(value, dict):
                merged[key] = {**merged.get(key, {}), **value}
            else:
                merged[key] = value
    return merged


def faults(value: object, type_: type[Struct], where: str = "") -> Iterator[str]:
    """What is wrong with a table; `where` is its own key, if it has one."""
    if not isinstance(value, dict):
        yield f"{where}: expected a table, got {_shown(value)}"
        return
    fields = {field.name: field for field in msgspec.structs.fields(type_)}
    prefix = f"{where}." if where else ""
    for key in value:
        if key not in fields:
            shown = key if key.isprintable() else repr(key)
            yield f"{prefix}{shown}: there is no such key; {_hint(key, fields, prefix)}"
    for name, field in fields.items():
        if name in value:
            yield from _faults_of_field(value[name], field.type, prefix + name)
        elif field.default is NODEFAULT and field.default_factory is NODEFAULT:
            yield f"{prefix}{name}: this key must be there"


def _hint(key: str, fields: Mapping[str, FieldInfo], prefix: str) -> str:
    """What may have been meant by a key: one that is like it, or one of that name in a table."""
    for name, field in fields.items():
        type_ = _bare(field.type)
        if _is_table(type_) and key in type_.__struct_fields__:
            return f"did you mean {prefix}{name}.{key}?"
    near = get_close_matches(key, fields, 1)
    return f"did you mean {prefix}{near[0]}?" if near else f"there are {', '.join(fields)}"


def _faults_of_field(value: object, type_: Any, where: str) -> Iterator[str]:
    bare = _bare(type_)
    inner = get_args(bare)[0] if get_origin(bare) is tuple else bare
    if _is_table(bare):
        yield from faults(value, bare, where)
    elif _is_table(inner) and isinstance(value, list):
        for number, item in enumerate(value, 1):
            yield from faults(item, inner, f"{where}[{number}]")
    else:
        try:
            msgspec.convert(value, type_)
        except msgspec.ValidationError as error:
            yield _worded(error, value, type_, where)


def _bare(type_: Any) -> Any:
    """Without what is annotated."""
    return get_args(type_)[0] if get_origin(type_) is Annotated else type_


def _is_table(type_: Any) -> TypeGuard[type[Struct]]:
    return isinstance(type_, type) and issubclass(type_, Struct)


def _worded(error: msgspec.ValidationError, value: object, type_: Any, where: str) -> str:
    text, _, place = str(error).partition(" - at `$")
    for number in (int(part.rstrip("]`")) for part in place.split("[")[1:]):
        where, value = f"{where}[{number + 1}]", value[number] if isinstance(value, list | tuple) else value
    choices = _choices(type_)
    expected = f"one of {', '.join(choices)}" if choices else text.partition(", got")[0].removeprefix("Expected ")
    return f"{where}: expected {_TYPE.sub(_in_words, expected)}, got {_shown(value)}"


def _in_words(type_: re.Match[str]) -> str:
    return _WORDS.get(type_[0], "")


def _choices(type_: Any) -> list[str]:
    """What can be chosen of, where that is so; also within a list, or where nothing may be said."""
    pending = [type_info(type_)]
    while pending:
        info = pending.pop()
        if isinstance(info, EnumType):
            return [str(each) for each in info.cls]
        if isinstance(info, LiteralType):
            return [str(each) for each in info.values]
        inner = getattr(info, "types", None) or [getattr(info, "item_type", None)]
        pending += [each for each in inner if each is not None]
    return []


def _shown(value: object) -> str:
    text = repr(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}..."
