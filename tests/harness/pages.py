"""The pages for people, as tests take them: their sections and tables, and what they have somebody type; and what
pyproject.toml says."""

import re
import tomllib
from itertools import takewhile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
README = ROOT / "README.md"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "protocol" / "SPEC.md"])
#: The guides for those who run hosts, who write scripts, and who sit at consoles.
OPERATORS = ROOT / "docs" / "operators.md"
SCRIPTS = ROOT / "docs" / "scripts.md"
COMMANDS = ROOT / "docs" / "commands.md"


def sections(page: Path) -> dict[str, str]:
    """What stands below each heading, up to the next one, whichever that is."""
    found = {"": ""}
    heading = ""
    fenced = False
    for line in page.read_text().splitlines(keepends=True):
        fenced ^= line.startswith("```")
        title = None if fenced else re.fullmatch(r"#+ (.*)\n", line)
        if title is not None:
            heading = title[1]
            found[heading] = ""
        else:
            found[heading] += line
    return found


def blocks(page: Path, heading: str, language: str = "") -> list[str]:
    """What a section has in this language, as it is typed or shown."""
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", sections(page)[heading], re.MULTILINE | re.DOTALL)
    assert found, f"{page.name}, {heading}: nothing in ```{language}"
    return found


def commands(page: Path, heading: str) -> str:
    """The shell lines of a section that has one block of them."""
    (lines,) = blocks(page, heading, "sh")
    return lines


def rows(page: Path, heading: str) -> list[list[str]]:
    """The cells of the page's table whose heading row begins with these cells."""
    _, _, table = page.read_text().partition(f"\n| {heading} |")
    lines = takewhile(lambda line: line.startswith("|"), table.splitlines()[2:])
    found = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert found, f"{page.name} has no table {heading}"
    return found
