"""Writes the manual pages docs/virtmux.1 and docs/virtmuxd.8, and the same as Markdown, from what `--help` says.

What `--help` does not say comes from tables: of exit statuses in docs/scripts.md, of keys in docs/configuration.md.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, assert_never

import click

from virtmux import __version__
from virtmux_cli.main import LazyGroup, cli
from virtmuxd.__main__ import main as daemon

COMMAND = "make docs"
ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
NOTICE = f"Made from the code by `{COMMAND}`."
#: The backslash first: it stands in all others.
_ESCAPES = {"\\": "\\e", "-": "\\-", "^": "\\(ha", "~": "\\(ti", "`": "\\(ga", "'": "\\(aq", "\u00d7": "\\(mu"}


class Heading(NamedTuple):
    """`level` is 1 for a section, 2 for what is below it."""

    text: str
    level: int = 1


class Paragraph(NamedTuple):
    """Prose; what stands in backticks is typed as it is."""

    text: str


class Term(NamedTuple):
    """What is typed, and what it means."""

    term: str
    text: str


class Usage(NamedTuple):
    """A command line."""

    text: str


Block = Heading | Paragraph | Term | Usage


class Page(NamedTuple):
    """A manual page, without its title."""

    name: str
    section: int
    blocks: list[Block]


ENVIRONMENT = [
    Term("VIRTMUX_SOCKET", "The daemon's socket, where `--socket` does not name it."),
    Term("VIRTMUX_SSH", "The ssh command of `--host`, with arguments, for example `ssh -p 2222`."),
    Term("VIRTMUX_JOURNAL", "The directory of the journal, for `virtmux log` while no daemon answers."),
    Term(
        "VIRSH_DEFAULT_CONNECT_URI, LIBVIRT_DEFAULT_URI",
        "The hypervisor of `virtmux console`, where `-c` does not name it, as for virsh.",
    ),
    Term("VIRTMUX_DEBUG", "If set, an internal error shows where it is."),
    Term("NO_COLOR", "If set, tables have no colours."),
    Term("COLUMNS", "The width of tables on a terminal."),
]
EXAMPLES = [
    Term("virtmux attach web1", "Sit at the console of web1; `^]` leaves."),
    Term(
        "echo reboot | virtmux attach web1 --linger 2",
        "Type a line, and print what is said.",
    ),
    Term("virtmux log -f -n 20 web1", "The last 20 lines of web1, and what comes."),
    Term("virtmux release web1 -- virsh console web1", "Use another program at the console meanwhile."),
    Term("virtmux -H root@kvm1 -H root@kvm2 list", "The consoles of two other hosts."),
]
FILES = [
    Term(
        "/etc/virtmux/virtmuxd.toml, /etc/virtmux/virtmuxd.toml.d/*.toml", "The configuration of the system's daemon."
    ),
    Term("~/.config/virtmux/virtmuxd.toml", "A user's own."),
    Term("/run/virtmux/virtmux.sock", "The system's daemon."),
    Term("$XDG_RUNTIME_DIR/virtmux/virtmux.sock", "A user's own."),
    Term("/var/log/virtmux", "The journal of the system's daemon."),
]


CONFIGURATION = (
    "A TOML file; FILE.d/*.toml add to it in the order of their names: a later key wins, and later rules stand first. "
    "SIGHUP has it read again. Times are in seconds, sizes in bytes."
)
#: What tables say where there is no default.
NO_DEFAULTS = ("none", "see there", "must be there")
#: Tables of which there may be many.
RULES = ("hypervisor", "console", "access")


def command_page() -> Page:
    """virtmux(1)."""
    assert isinstance(cli, LazyGroup)
    root = click.Context(cli, info_name="virtmux", **cli.context_settings)
    blocks: list[Block] = [*opening(cli, root, "watch and use the consoles of libvirt guests")]
    blocks += [Heading("Options"), *options(cli, root), Heading("Commands")]
    for title, commands in cli.sections(root):
        blocks.append(Heading(title, 2))
        blocks += [Term(f"virtmux {command.name}", command.get_short_help_str(120)) for command in commands]
    for _, commands in cli.sections(root):
        for command in commands:
            ctx = click.Context(command, info_name=command.name, parent=root)
            blocks += [Heading(f"virtmux {command.name}"), *usage(command, ctx), *prose(command)]
            blocks += options(command, ctx)
    blocks += [Heading("Exit status"), *table("status | means", "docs/scripts.md")]
    blocks += [Heading("Environment"), *ENVIRONMENT, Heading("Files"), *FILES, Heading("Examples"), *EXAMPLES]
    blocks += [Heading("See also"), Paragraph("virtmuxd(8), virsh(1), ssh(1)")]
    return Page("virtmux", 1, blocks)


def daemon_page() -> Page:
    """virtmuxd(8)."""
    root = click.Context(daemon, info_name="virtmuxd", **daemon.context_settings)
    blocks: list[Block] = [*opening(daemon, root, "hold the consoles of libvirt guests for any number of clients")]
    blocks += [Heading("Options"), *options(daemon, root)]
    blocks += [Heading("Configuration"), Paragraph(CONFIGURATION)]
    for name in ("", "hypervisor", "console", "access", "limits", "metrics"):
        blocks += [Heading(f"[[{name}]]" if name in RULES else f"[{name}]", 2)] if name else []
        blocks += table(f"key of {name} | default | is" if name else "key | default | is", "docs/configuration.md")
    blocks += [Heading("Rights", 2), *table("right | allows", "docs/configuration.md")]
    blocks += [Heading("Files"), *FILES, Heading("See also"), Paragraph("virtmux(1), libvirtd(8), virtqemud(8)")]
    return Page("virtmuxd", 8, blocks)


def opening(command: click.Command, ctx: click.Context, purpose: str) -> Iterator[Block]:
    """The sections that every page begins with."""
    yield Heading("Name")
    yield Paragraph(f"{ctx.info_name} - {purpose}")
    yield Heading("Synopsis")
    yield from usage(command, ctx)
    yield Heading("Description")
    yield from prose(command)


def usage(command: click.Command, ctx: click.Context) -> Iterator[Usage]:
    """Its command line."""
    yield Usage(" ".join([ctx.command_path, *command.collect_usage_pieces(ctx)]))


def prose(command: click.Command) -> Iterator[Paragraph]:
    """Its help, but for the options."""
    for paragraph in re.split(r"\n\s*\n", (command.help or "").strip()):
        yield Paragraph(" ".join(paragraph.split()))


def options(command: click.Command, ctx: click.Context) -> Iterator[Term]:
    """Its options; of the one for help only the program's own is told."""
    for param in command.get_params(ctx):
        if isinstance(param, click.Option) and (ctx.parent is None or "--help" not in param.opts):
            record = param.get_help_record(ctx)
            if record is not None:
                yield Term(*record)


def table(heading: str, page: str) -> Iterator[Term]:
    """The table of a page with this heading row, without its links."""
    _, _, rows = (ROOT / page).read_text().partition(f"\n| {heading} |\n")
    for line in rows.splitlines()[1:]:
        if not line.startswith("|"):
            return
        term, *middle, text = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
        default = f" Default: {middle[0]}." if middle and middle[0] not in NO_DEFAULTS else ""
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text.replace(r"\|", "|"))
        text = re.sub(r"(:|; option `--attach.*`:?) see .*$", "", text)
        begin = text[0] if text.startswith("virtmux") else text[0].upper()
        yield Term(term.replace("`", ""), f"{begin}{text[1:]}.{default}")


# As roff, man(7).


def roff(page: Page) -> str:
    """The page for man(1)."""
    title = f'.TH {page.name.upper()} {page.section} "" "virtmux {__version__}"'
    return f'.\\" {NOTICE}\n{title}\n' + "".join(_roff(block) for block in page.blocks)


def _roff(block: Block) -> str:
    match block:
        case Heading(text, 1):
            return f'.SH "{_escaped(text if text.startswith("virtmux ") else text.upper())}"\n'
        case Heading(text, _):
            return f'.SS "{_escaped(text)}"\n'
        case Paragraph(text):
            return f".PP\n{_line(text)}\n"
        case Term(term, text):
            return f".TP\n\\fB{_escaped(term)}\\fR\n{_line(text)}\n"
        case Usage(text):
            return f".PP\n\\fB{_escaped(text)}\\fR\n"
        case _:
            assert_never(block)


def _line(text: str) -> str:
    typed = re.sub(r"`([^`]+)`", lambda found: f"\0{found[1]}\1", text)
    line = _escaped(typed).replace("\0", "\\fB").replace("\1", "\\fR")
    return f"\\&{line}" if line.startswith((".", "'")) else line


def _escaped(text: str) -> str:
    for plain, escape in _ESCAPES.items():
        text = text.replace(plain, escape)
    return text.replace('"', "\\(dq")


# As Markdown.


def markdown(page: Page) -> str:
    """The page for reading in a browser."""
    text = f"<!-- {NOTICE} -->\n\n# {page.name}({page.section})\n"
    listed = False
    for block in page.blocks:
        listing = isinstance(block, Term)
        text += _markdown(block) if listing and listed else f"\n{_markdown(block)}"
        listed = listing
    return text


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * (level + 1)} {text}\n"
        case Paragraph(text):
            return f"{text}\n"
        case Term(term, text):
            return f"- `{term}`: {text}\n"
        case Usage(text):
            return f"    {text}\n"
        case _:
            assert_never(block)


def files() -> dict[Path, str]:
    """What belongs in each file."""
    forms: tuple[tuple[str, Callable[[Page], str]], ...] = (("", roff), (".md", markdown))
    return {
        DOCS / f"{page.name}.{page.section}{suffix}": form(page)
        for page in (command_page(), daemon_page())
        for suffix, form in forms
    }


def main() -> None:
    """Write the files."""
    for path, text in files().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
