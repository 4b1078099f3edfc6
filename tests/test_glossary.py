"""The glossary holds: terms are met where it says, names are made of them, and what is not said is not said."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import click
import msgspec
import pytest

from tests.harness.logged import FACTS
from tests.harness.pages import PAGES, ROOT, sections
from tests.protocol.test_spec import SPEC, STRUCTS, table, tag
from tests.test_configuration_docs import TABLES
from tests.test_monitoring import FAMILIES, LABELS
from virtmux.features import Feature
from virtmux.messages import State
from virtmux.people import Role
from virtmux.reasons import Cause, Phase
from virtmux_cli.json_types import LINES
from virtmux_cli.main import COMMANDS, cli
from virtmuxd.config.schema import Kept
from virtmuxd.core.access import Right
from virtmuxd.core.events import Policy

PAGE = ROOT / "docs" / "glossary.md"
PACKAGES = [ROOT / "protocol" / "virtmux", ROOT / "daemon" / "virtmuxd", ROOT / "client" / "virtmux_cli"]
CODE = "\n".join(path.read_text() for package in PACKAGES for path in sorted(package.rglob("*.py")))
COMMANDS_PAGE = ROOT / "docs" / "virtmux.1.md"


class Term(NamedTuple):
    """A row of the page."""

    forms: list[str]
    sentence: str
    where: list[str]
    not_said: list[str]


def terms() -> Iterator[Term]:
    for row in re.findall(r"^\| (?!term \|).*", PAGE.read_text(), re.MULTILINE):
        forms, sentence, where, not_said = (cell.strip() for cell in row.strip("|").split("|"))
        yield Term(forms.split(", "), sentence, re.findall(r"`([^`]+)`", where), re.findall(r"\w+", not_said))


def words(text: str) -> list[str]:
    """`MarkMessage`, `to_offset` and `input-status` in words, without numbers."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", text)]


TERMS = list(terms())
TERM_WORDS = {word for term in TERMS for form in term.forms for word in words(form)}
PLAIN = set(re.findall(r"`(\w+)`", PAGE.read_text().partition("\n## Plain words\n")[2]))
CODE_WORDS = set(words(CODE))


def names() -> Iterator[str]:
    """What the wire, JSON Lines, the commands, metrics, the configuration and the log call things."""
    for struct in (*STRUCTS.values(), *(line for lines in LINES.values() for line in lines)):
        info: Any = msgspec.inspect.type_info(struct)
        yield from ([] if info.tag is None else [tag(struct)])
        yield from (field.encode_name for field in info.fields)
    for name in COMMANDS:
        yield name
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        options = (option.lstrip("-") for parameter in command.params for option in parameter.opts)
        yield from (option for option in options if len(option) > 1)
    for enum in (Cause, Phase, State, Role, Feature, Right, Policy, Kept):
        yield from enum
    yield from (row["event"] for row in table("9. Events"))
    yield from (family.name for family in FAMILIES)
    yield from LABELS
    yield from (key for keys in TABLES.values() for key in keys.__struct_fields__)
    yield from FACTS


def is_of_a_term(word: str) -> bool:
    """Whether it is a word of a term, or more than one of these."""
    return not TERM_WORDS.isdisjoint({word, word.removesuffix("s"), re.sub("ies$", "y", word)})


def is_there(place: str) -> bool:
    """Whether a section of the protocol, a command with an option, a file or a name is there."""
    if section := re.fullmatch(r"SPEC (\d+)", place):
        return re.search(rf"^## {section[1]}\. ", SPEC, re.MULTILINE) is not None
    if place.startswith("virtmux "):
        command, _, option = place.partition(" --")
        is_known = command == "virtmux" or command in sections(COMMANDS_PAGE)
        return is_known and f"--{option}" in COMMANDS_PAGE.read_text()
    if place.startswith("virtmux_"):
        return place in {family.name for family in FAMILIES}
    if "/" in place or place.endswith(".py"):
        return any((base / place).exists() for base in (ROOT, *PACKAGES))
    return re.search(rf"(?<![\w-]){place}(?![\w-])", SPEC + CODE) is not None


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.forms[0])
def test_a_term_has_one_sentence_and_is_met_where_it_is_said(term: Term) -> None:
    assert re.fullmatch(r"[^.]+(\.[^. ][^.]*)*\.", term.sentence), "one sentence"
    assert term.where
    assert [place for place in term.where if not is_there(place)] == []
    assert set(words(term.forms[0])) <= CODE_WORDS | set(words(SPEC))


def test_no_term_is_there_twice_and_none_is_one_that_is_not_said() -> None:
    forms = [form for term in TERMS for form in term.forms]
    assert sorted(set(forms)) == sorted(forms)
    assert TERM_WORDS.isdisjoint(word for term in TERMS for word in term.not_said)


def test_names_are_made_of_terms_and_plain_words() -> None:
    used = {word for name in names() for word in words(name)}
    plain = {word for word in used if not is_of_a_term(word)}
    assert plain - PLAIN == set(), "docs/glossary.md has none of these: use a term of it, or add one, or a plain word"
    assert PLAIN - plain == set(), "no name has these any more: take them out of docs/glossary.md, 'Plain words'"


@pytest.mark.parametrize("word", sorted({word for term in TERMS for word in term.not_said}))
def test_a_word_that_is_not_said_is_nowhere_said(word: str) -> None:
    assert word not in CODE_WORDS, "code, help and log"
    said = re.compile(rf"(?<![\w-]){word}(?![\w-])", re.IGNORECASE)
    assert [page.name for page in PAGES if page != PAGE and said.search(page.read_text())] == []
    assert not [name for name in names() if word in words(name)]
