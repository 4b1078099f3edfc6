"""Writes docs/schema: for each command with JSON Lines a JSON Schema of its lines, from the types of these lines."""

import json
from pathlib import Path
from typing import Any

from msgspec.json import schema_components

from virtmux_cli.json_types import LINES

COMMAND = "make docs"
DIRECTORY = Path(__file__).parents[1] / "docs" / "schema"


def schema(command: str) -> dict[str, Any]:
    """The JSON Schema of a line that `command` prints."""
    lines, definitions = schema_components(LINES[command])
    for definition in definitions.values():
        definition["description"] = " ".join(definition["description"].split())
        _arrange(definition)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A line of virtmux {command}, as JSON",
        "anyOf": list(lines),
        "$defs": dict(sorted(definitions.items())),
    }


def _arrange(part: Any) -> None:
    """Put null last of what a field may be: msgspecs do not agree where."""
    if isinstance(part, dict):
        part.get("anyOf", []).sort(key={"type": "null"}.__eq__)
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _arrange(each)


def files() -> dict[Path, str]:
    """What belongs in each file."""
    return {DIRECTORY / f"{command}.json": f"{json.dumps(schema(command), indent=2)}\n" for command in LINES}


def main() -> None:
    """Write the files."""
    DIRECTORY.mkdir(exist_ok=True)
    for path, text in files().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
