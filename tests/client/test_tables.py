"""Tables on a terminal of their own and elsewhere, as a command prints them."""

import re
import subprocess
import sys
from pathlib import Path

import pexpect

from tests.harness.command import environment

NAME = "[bold]web[/] :smile:"
SHOW = (
    f"from virtmux_cli.tables import shown; print(shown([['NAME', 'STATE'], [{NAME!r}, 'attached, paused']]), end='')"
)
PLAIN = ["NAME                  STATE", f"{NAME}  attached, paused"]
GREEN = "\x1b[32m"


def on_terminal(columns: int = 80, **variables: str) -> list[str]:
    """The lines that a terminal is given."""
    child = pexpect.spawn(
        sys.executable,
        ["-c", SHOW],
        env={**environment(Path("/s")), "TERM": "xterm", **variables},
        dimensions=(24, columns),
        timeout=30,
    )
    child.expect(pexpect.EOF)
    said = child.before
    child.close()
    assert isinstance(said, bytes)
    return said.decode().splitlines()


def without_styles(lines: list[str]) -> list[str]:
    return [re.sub(r"\x1b\[[\d;]*m", "", line).rstrip() for line in lines]


def test_without_a_terminal_they_are_plain_columns_of_any_width() -> None:
    variables = {**environment(Path("/s")), "TERM": "xterm", "COLUMNS": "10"}
    shown = subprocess.run([sys.executable, "-c", SHOW], check=True, capture_output=True, text=True, env=variables)
    assert shown.stdout.splitlines() == PLAIN


def test_on_a_terminal_a_state_has_a_colour_and_a_name_is_no_markup() -> None:
    lines = on_terminal()
    assert GREEN in lines[1]
    assert without_styles(lines) == PLAIN


def test_no_color_takes_the_colours_away() -> None:
    assert GREEN not in "".join(on_terminal(NO_COLOR="1"))


def test_a_dumb_terminal_gets_plain_columns() -> None:
    assert on_terminal(TERM="dumb") == PLAIN


def test_a_narrow_terminal_gets_all_of_it_in_lines_that_fit() -> None:
    for lines in (on_terminal(24), on_terminal(COLUMNS="24")):
        bare = without_styles(lines)
        assert max(map(len, bare)) <= 24
        assert "".join(line[:12].rstrip() for line in bare[1:]).replace(" ", "") == NAME.replace(" ", "")
