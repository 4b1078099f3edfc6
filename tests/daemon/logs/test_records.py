"""A log record as text: readable, and whatever is in a fact, it makes no line of its own."""

import sys

import pytest

from tests.harness.logged import record
from virtmux.people import Role
from virtmuxd.logs import records


def test_a_record_is_its_message_and_its_facts() -> None:
    made = record("client left", client=7, domain="web1", role=Role.WRITER, read_only=False, error=None)
    assert records.text(made) == "client left client=7 domain='web1' role='writer' read_only=False"


FORGERIES = ["a\nerror a bug", "a\r\nb", "\x1b[2J\x1b[31m", "a\u2028b\u2029c\x85d", "\u202egpj", "x\x00y", "\udc80"]


@pytest.mark.parametrize("text", FORGERIES)
def test_what_is_in_a_fact_stays_in_its_line(text: str) -> None:
    said = records.text(record(domain=text))
    assert said.isprintable()
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("text", FORGERIES)
def test_what_is_in_an_exception_makes_no_line_of_the_log(text: str) -> None:
    said = records.text(record("a bug", ValueError(f"{text}\nerror forged")))
    first, *others = said.split("\n")
    assert first == "a bug"
    assert any(f"ValueError: {text[0]}"[:-1] in line for line in others)
    assert all(line.startswith("  ") and line.isprintable() for line in others)


def test_a_fact_is_not_longer_than_a_line_should_be() -> None:
    said = records.text(record(domain="x" * 100_000, error="short"))
    assert len(said) < 2000
    assert said.endswith("… error='short'")
    assert len(records.plain("x" * 100_000)) < 2000


def test_of_a_long_traceback_the_end_is_logged() -> None:
    def fall(depth: int) -> None:
        if depth:
            fall(depth - 1)
        raise ValueError("y" * 500_000 + " the end")

    with pytest.raises(ValueError, match="the end") as raised:
        fall(sys.getrecursionlimit() // 2)
    said = records.text(record("a bug", raised.value))
    assert len(said) < 40_000
    assert said.endswith(" the end")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ("web 1\n", "web 1\n"),
        (Role.WRITER, "writer"),
        (7, "7"),
        (1.5, "1.5"),
        (True, "true"),
        ({"detached": 3}, '{"detached": 3}'),
        ((1, 2), "[1, 2]"),
    ],
)
def test_a_field_has_text_as_it_is_and_else_json(value: object, plain: str) -> None:
    assert records.plain(value) == plain
