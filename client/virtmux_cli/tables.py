"""Tables on stdout: by rich where that is a terminal, in plain columns elsewhere.

rich takes as long to import as all the rest of `virtmux list`: a pipe does not pay for it.
"""

import os
from collections.abc import Mapping, Sequence

from virtmux_cli.main import load
from virtmux_cli.text import table

_STDOUT = 1
#: What a word that a cell begins with means to a person.
_STYLES = {
    "attached": "green",
    "connected": "green",
    "opening": "cyan",
    "ending": "yellow",
    "waiting": "yellow",
    "absent": "dim",
    "not": "red",
}


def shown(rows: Sequence[Sequence[str]], column: str = "STATE") -> str:
    """The rows, of which the first is the heading, for stdout as it is; what stands in `column` has a colour."""
    if not os.isatty(_STDOUT) or os.environ.get("TERM") == "dumb":
        return table(rows)
    return _by_rich(rows, column, _STYLES)


def _by_rich(rows: Sequence[Sequence[str]], column: str, styles: Mapping[str, str]) -> str:
    load("rich.console")
    load("rich.table")
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    heading, *body = rows
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in heading:
        drawn.add_column(Text(name), overflow="fold")
    for row in body:
        cells = zip(heading, row, strict=True)
        # As Text a name is no markup.
        drawn.add_row(*(Text(cell, _style(cell, styles) if name == column else "") for name, cell in cells))
    console = Console(highlight=False, soft_wrap=False)
    with console.capture() as capture:
        console.print(drawn)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def _style(cell: str, styles: Mapping[str, str]) -> str:
    return styles.get(cell.replace(",", " ").split(" ")[0], "")
