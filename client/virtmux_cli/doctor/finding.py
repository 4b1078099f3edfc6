"""What is found wrong: in a paragraph for a person, and as JSON Lines. Pure."""

import textwrap
from collections.abc import Sequence

from msgspec import Struct, structs

from virtmux.sanitize import printable
from virtmux_cli.text import json_line


class Finding(Struct, frozen=True):
    """What is `wrong`, how it is `known`, and what to `do`: sentences. `status` is what the command ends with where
    this is the main cause; 0 where it is only worth knowing."""

    name: str
    status: int
    wrong: str
    known: str
    do: str


def findings_text(findings: Sequence[Finding], fine: str, width: int) -> str:
    """A paragraph for each, or, where there is none that is wrong, that all is `fine`."""
    paragraphs = [f"{each.wrong} {each.known} {each.do}" for each in findings]
    if not any(each.status for each in findings):
        paragraphs.insert(0, fine)
    wrapped = (
        textwrap.fill(printable(paragraph), width, break_long_words=False, break_on_hyphens=False)
        for paragraph in paragraphs
    )
    return "\n\n".join(wrapped) + "\n"


def findings_json(findings: Sequence[Finding]) -> bytes:
    """One line for each."""
    return b"".join(json_line(structs.asdict(each)) for each in findings)


def main_status(findings: Sequence[Finding]) -> int:
    """That of the main cause: the first that is one."""
    return next((each.status for each in findings if each.status), 0)
