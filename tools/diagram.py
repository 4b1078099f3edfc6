"""Draws the state diagram in docs/console-life.md from `virtmuxd.core.machine.TABLE`.

Run by hand when the table has changed: it rewrites the block between the two markers in the page.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from virtmux.messages import State
from virtmuxd.core.machine import TABLE

COMMAND = "make docs"
PAGE = Path(__file__).parents[1] / "docs" / "console-life.md"
BEGIN = f"<!-- Drawn from the code. After a change there: {COMMAND} -->\n"
END = "<!-- End of the drawing. -->\n"

#: So many names of events are in a line of an edge's label.
_IN_A_LINE = 3

#: For an event in a state, where it may lead to, besides staying there.
Table = Mapping[tuple[State, type[object]], Iterable[State]]


def edges(table: Table) -> dict[tuple[State, State], list[str]]:
    """From where to where: the names of the events that may lead there, in the order of the table."""
    found: dict[tuple[State, State], list[str]] = {}
    for (state, event), to in table.items():
        for other in to:
            if other is not state:
                found.setdefault((state, other), []).append(event.__name__)
    return found


def draw(table: Table, start: State) -> str:
    """The table as a mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {start}"]
    for (state, other), names in edges(table).items():
        label = [", ".join(names[at : at + _IN_A_LINE]) for at in range(0, len(names), _IN_A_LINE)]
        lines.append(f"    {state} --> {other}: {',<br/>'.join(label)}")
    return "\n".join(lines) + "\n"


def console_table() -> Table:
    """That of a console."""
    return {key: transition.to for key, transition in TABLE.items()}


def drawing() -> str:
    """What belongs between the markers."""
    return f"```mermaid\n{draw(console_table(), State.ABSENT)}```\n"


def split(page: str) -> tuple[str, str, str]:
    """The page up to the first marker, between them, and from the second one on.

    Raises:
        ValueError: a marker is missing.
    """
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    return page[:begin], page[begin:end], page[end:]


def main() -> None:
    """Rewrite the block in the page."""
    before, _, after = split(PAGE.read_text())
    PAGE.write_text(before + drawing() + after)


if __name__ == "__main__":
    main()
