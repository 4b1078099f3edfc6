"""docs/logging.md says what the log has: every record that the sources make, and every fact."""

import re
from pathlib import Path

from tests.harness.log_calls import names, records
from tests.harness.logged import FACTS
from virtmux.messages import Counters
from virtmuxd.logs import outlet

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "daemon" / "virtmuxd"
PAGE = (ROOT / "docs" / "logging.md").read_text()
RECORDS = list(records(SOURCES))


def rows(heading: str) -> list[list[str]]:
    """The cells of the page's table with this heading row."""
    _, _, table = PAGE.partition(f"\n| {heading} |\n")
    lines = re.match(r"(?:\|.*\n)+", table)
    assert lines, f"no table {heading}"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[0].splitlines()[1:]]


def test_every_record_is_there_with_its_level_and_no_other() -> None:
    listed = [(message, level) for message, level, _ in rows("message | level | when, and what of it")]
    made = sorted({f"`{record.message}`" for record in RECORDS})
    assert [message for message, _ in listed] == made, "docs/logging.md has a row for each, by the alphabet"
    told = {f"`{record.message}`": record.level for record in RECORDS if record.level is not None}
    assert {message: level for message, level in listed if message in told} == told


def test_every_fact_is_there_by_name_and_is_one() -> None:
    made = {fact for record in RECORDS for fact in record.facts} | set(Counters.__struct_fields__)
    assert made <= FACTS, "name it in docs/logging.md"
    assert names(SOURCES) | set(Counters.__struct_fields__) >= FACTS, "nothing is called so any more"


def test_a_fact_has_a_name_that_journald_takes_and_python_does_not_use() -> None:
    assert all(re.fullmatch(r"[a-z][a-z_]{0,50}", fact) for fact in FACTS)


def test_every_action_is_explained() -> None:
    explained = {action for actions, _ in rows("action | the client") for action in re.findall(r"`([^`]+)`", actions)}
    audit = (SOURCES / "service" / "audit.py").read_text()
    made = set(re.findall(r'(?:"action": |_facts\()"([a-z-]+)"', audit)) | set(
        re.findall(r'^    "([a-z-]+)": "', audit, re.MULTILINE)
    )
    assert made == explained


def test_the_limits_are_those_of_the_code() -> None:
    text = " ".join(PAGE.split())
    assert f"Of one kind of record {outlet.MOST} are written within a minute" in text
    assert f"of bugs, which have a traceback, {outlet.MOST_BUGS}; of the audit {outlet.MOST_AUDIT}" in text
    assert f"Up to {outlet.QUEUE} records wait" in text
    assert outlet.WINDOW == 60.0
