"""The pages for people hold: their tables and their diagram against the code, and their links against the files."""

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from tests.harness.beside_virsh_suite import TABLES
from tests.harness.pages import COMMANDS, PAGES, README, ROOT, SCRIPTS, blocks, rows, sections
from tools import diagram, manpages, schema
from virtmux.messages import State
from virtmux.reasons import CAUSES
from virtmux_cli import main
from virtmux_cli.main import LazyGroup, cli

ARCHITECTURE = ROOT / "docs" / "architecture.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
#: Nobody types them.
HIDDEN = {"dial-stdio", "tmux-follow"}
#: A number that was measured or counted, and not a part of a name.
FIGURE = re.compile(r"(?<![\w.])\d[\d.,]*(?<=\d)(?!\w)")
SOURCES = sorted(path for root in ("client", "daemon", "protocol", "tests") for path in (ROOT / root).rglob("*.py"))


def anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_make_is_to_do_is_in_the_makefile(page: Path) -> None:
    targets = re.findall(r"^([\w-]+):(?! export)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"`make ([\w-]+)", page.read_text())) <= set(targets)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for path, fragment in re.findall(r"\]\(((?!https?:)[^)#]*)#?([^)]*)\)", page.read_text()):
        target = page.parent / path if path else page
        assert target.exists(), path
        if fragment:
            assert fragment in map(anchor, sections(target)), f"{path}#{fragment}"


def test_sections_that_the_sources_name_exist() -> None:
    named = {
        (path, section)
        for source in SOURCES
        for path, section in re.findall(r'(docs/[\w-]+\.md),[\s#:]*"([^"]+)"', source.read_text())
    }
    assert named
    assert {(path, section) for path, section in named if section not in sections(ROOT / path)} == set()


def test_the_catalogue_gives_every_cause_its_numbers_and_says_whether_it_may_pass() -> None:
    listed = [row[:4] for row in rows(ROOT / "docs" / "causes.md", "exit | number | cause | retry | means")]
    assert listed == [
        [str(info.exit_status), str(info.number), f"[`{cause}`](#{cause})", "yes" if info.retry else "no"]
        for cause, info in CAUSES.items()
    ], "docs/causes.md has a row for each cause, in the order of `CAUSES`"


def test_the_catalogue_has_a_section_for_every_cause_below_its_exit_status() -> None:
    found = [heading for heading in sections(ROOT / "docs" / "causes.md") if heading.startswith(("Status", "`"))]
    expected: list[str] = []
    for cause, info in CAUSES.items():
        status = f"Status {info.exit_status}"
        expected += [f"`{cause}`"] if status in expected else [status, f"`{cause}`"]
    assert found == expected, "docs/causes.md has a section for each cause, in the order of `CAUSES`"


def test_every_page_is_in_the_list_of_the_readme() -> None:
    listed = re.findall(r"\]\(([\w./-]+\.md)\)", sections(README)["Where to read on"])
    there = {str(page.relative_to(ROOT)) for page in PAGES} - {"README.md"}
    assert set(listed) == there, "README.md, 'Where to read on', has a row for each page"


def test_a_link_of_the_readme_is_called_by_its_path() -> None:
    """Where links lead nowhere, as in the description on PyPI, the path is what is left of them."""
    assert [text for text, target in re.findall(r"\[([^]]+)\]\(([^)]+)", README.read_text()) if text != target] == []


def test_every_command_is_listed() -> None:
    listed = {re.split(r"[` ]+", use)[2] for use, _ in rows(COMMANDS, "command | does")}
    assert listed == main.COMMANDS.keys() - HIDDEN, "docs/commands.md has a row for each command"


def test_every_exit_status_that_a_cause_has_is_explained() -> None:
    listed = {status for status, _ in rows(SCRIPTS, "status | means")}
    assert {str(info.exit_status) for info in CAUSES.values()} <= listed


@pytest.mark.parametrize("page", [ARCHITECTURE, CONTRIBUTING], ids=lambda page: page.name)
def test_a_place_where_a_change_goes_exists(page: Path) -> None:
    """In the daemon's own folders a path may begin there."""
    named = [path for path in re.findall(r"`([\w./-]+)`", page.read_text()) if "/" in path and not path.startswith(".")]
    assert named
    tops = (ROOT, ROOT / "daemon" / "virtmuxd")
    assert [path for path in named if not any((top / path).exists() for top in tops)] == []


def test_the_folders_are_those_that_there_are() -> None:
    path: list[str] = []
    listed: set[Path] = set()
    for line in blocks(ARCHITECTURE, "The folders")[0].splitlines():
        path[(len(line) - len(line.lstrip())) // 2 :] = [line.split()[0]]
        listed.add(Path(*path))
    assert {folder for folder in listed if not (ROOT / folder).exists()} == set()
    packages = [each.parent.relative_to(ROOT) for each in ROOT.glob("*/virtmux*/*/__init__.py")]
    missing = {each for each in packages if each.parts[0] != "client"} - listed
    assert missing == set(), "docs/architecture.md, 'The folders', has a line for each"


def test_the_examples_of_running_one_test_run_some() -> None:
    for path, word in re.findall(r"pytest (\S+) -k (\w+)", sections(CONTRIBUTING)["Run one test"]):
        assert re.search(rf"def test_\w*{word}", (ROOT / path).read_text())


@pytest.mark.parametrize(
    "decision", [heading for heading, text in sections(ARCHITECTURE).items() if "**Price:**" in text]
)
def test_what_a_decision_costs_is_what_was_measured(decision: str) -> None:
    text = sections(ARCHITECTURE)[decision]
    pages = {ARCHITECTURE.parent / path for path in re.findall(r"\]\((\w+\.md)", text)}
    measured = {number for page in pages for number in FIGURE.findall(page.read_text())}
    assert set(FIGURE.findall(text)) <= measured


def test_the_diagram_is_the_one_that_the_state_machine_yields() -> None:
    _, block, _ = diagram.split(diagram.PAGE.read_text())
    assert block == diagram.drawing(), f"the state machine has changed: run {diagram.COMMAND}"


def test_the_schemas_are_those_of_the_types_and_each_is_named_in_the_page() -> None:
    written = {path: path.read_text() for path in schema.DIRECTORY.iterdir()}
    assert written == schema.files(), f"what is printed as JSON has changed: run `{schema.COMMAND}`"
    page = (ROOT / "docs" / "json.md").read_text()
    assert all(f"(schema/{path.name})" in page for path in written)


def test_the_manual_pages_say_what_help_says() -> None:
    for path, text in manpages.files().items():
        assert path.read_text() == text, f"--help has changed: run `{manpages.COMMAND}`"


def test_every_troff_reads_the_manual_pages() -> None:
    pages = [path for path in manpages.files() if path.suffix in {".1", ".8"}]
    assert len(pages) == 2
    assert [path.name for path in pages if not path.read_text().isascii()] == []


def test_the_manual_page_has_every_command_that_is_not_hidden() -> None:
    assert isinstance(cli, LazyGroup)
    shown = {command.name for _, commands in cli.sections(click.Context(cli)) for command in commands}
    assert shown == main.COMMANDS.keys() - HIDDEN
    assert shown <= {heading.removeprefix("virtmux ") for heading in sections(ROOT / "docs" / "virtmux.1.md")}


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
@pytest.mark.parametrize("name", ["virtmux.1", "virtmuxd.8"])
def test_groff_finds_no_fault_in_a_manual_page(name: str) -> None:
    command = ["groff", "-man", "-ww", "-z", "-K", "utf8", str(ROOT / "docs" / name)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stderr == ""


def test_what_acts_on_roff_is_escaped() -> None:
    page = manpages.Page("x", 1, [manpages.Paragraph(".so `a-b` \\ '^~\""), manpages.Term("--x", "'y")])
    assert manpages.roff(page).splitlines()[2:] == [
        ".PP",
        r"\&.so \fBa\-b\fR \e \(aq\(ha\(ti\(dq",
        ".TP",
        r"\fB\-\-x\fR",
        r"\(aqy",
    ]


def test_the_diagram_has_one_edge_from_a_state_to_another_and_none_to_itself() -> None:
    table: diagram.Table = {
        (State.ABSENT, int): (State.OPENING, State.ABSENT),
        (State.ABSENT, str): (State.OPENING,),
        (State.OPENING, int): (),
    }
    assert diagram.draw(table, State.ABSENT).splitlines() == [
        "stateDiagram-v2",
        "    [*] --> absent",
        "    absent --> opening: int, str",
    ]


def test_the_life_of_a_console_explains_every_event_of_its_diagram_and_every_state() -> None:
    explained = {name for cells in rows(diagram.PAGE, "event | says") for name in re.findall(r"`(\w+)`", cells[0])}
    edges = diagram.edges(diagram.console_table())
    assert explained == {name for names in edges.values() for name in names}
    assert [cells[0] for cells in rows(diagram.PAGE, "state | means")] == [f"`{state}`" for state in State]


#: What the page calls the guest, and who else is at its console.
NAMES = {
    "name": "web1",
    "id": "26",
    "hex": "0x1a",
    "uuid": "8afb79fd-53b9-4b71-b275-8313940c1c1e",
    "device": "serial4",
    "other": "alice (pid 812)",
}


@pytest.mark.parametrize("heading", TABLES)
def test_what_is_seen_beside_virsh_is_what_the_tests_see(heading: str) -> None:
    table = rows(ROOT / "docs" / "beside-virsh.md", f"{heading} | `virsh` | `virtmux` | that is | why")
    assert [row[:4] for row in table] == [
        [
            f"{each.name} ({each.variants})" if each.variants else each.name,
            each.virsh.told(NAMES),
            each.attach.told(NAMES),
            each.attach_is,
        ]
        for each in TABLES[heading]
    ]
    assert all(row[4] or row[3] == "same" for row in table), "each difference has a reason"
