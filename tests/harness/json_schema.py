"""JSON Lines held against the schemas in docs/, more strictly than they say: what they do not know is an error here."""

import json
from typing import Any

from jsonschema import Draft202012Validator

from tools.schema import DIRECTORY


def check(command: str, output: bytes) -> list[dict[str, Any]]:
    """The lines of a command's output. Raises AssertionError where one does not fit."""
    schema = _strict(json.loads((DIRECTORY / f"{command}.json").read_text()))
    lines: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines()]
    assert lines
    for line in lines:
        errors = [text for choice in schema["anyOf"] for text in [_error(schema, choice, line)]]
        assert None in errors, f"{line}: {errors}; docs/schema is made of json_types.py by `make docs`"
    return lines


def _error(schema: dict[str, Any], choice: dict[str, Any], line: dict[str, Any]) -> str | None:
    validator = Draft202012Validator({**choice, "$defs": schema["$defs"]})
    return next((error.message for error in validator.iter_errors(line)), None)


def _strict(part: Any) -> Any:
    """The same schema, whose objects have no other properties than it names."""
    if isinstance(part, list):
        return [_strict(each) for each in part]
    if not isinstance(part, dict):
        return part
    named = {name: _strict(value) for name, value in part.items()}
    return {**named, "additionalProperties": False} if isinstance(part.get("properties"), dict) else named
