"""docs/metrics.md, the alert rules and the dashboard speak of the metrics that are really exported."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.pages import ROOT
from virtmux.messages import State
from virtmux.reasons import Cause
from virtmuxd.service.metrics import OF_CONSOLE, OF_DAEMON, OF_HYPERVISOR, Family, Kind, Labelled

SECTIONS: dict[str, Labelled[Any]] = {
    "The daemon": OF_DAEMON,
    "Each hypervisor": OF_HYPERVISOR,
    "Each console": OF_CONSOLE,
}
FAMILIES: list[Family[Any]] = [family for section in SECTIONS.values() for family in section.families]
LABELS = {label for section in SECTIONS.values() for label in section.labels} | {
    each.by for each in FAMILIES if each.by
}
#: What Prometheus adds.
LABELS_OF_PROMETHEUS = {"job", "instance", "le"}
#: The values of labels that are out of a closed set.
VALUES = {
    "cause": {str(cause) for cause in Cause},
    "state": {str(state) for state in State},
    "purpose": {"calls", "input", "errands"},
    "fate": {"accepted", "unknown", "rejected"},
}


def samples() -> Iterator[str]:
    """The names by which they can be asked for."""
    for family in FAMILIES:
        suffixes = ("_bucket", "_sum", "_count") if family.kind is Kind.HISTOGRAM else ("",)
        yield from (family.name + suffix for suffix in suffixes)


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((ROOT / "monitoring" / "alerts.yml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((ROOT / "monitoring" / "grafana-dashboard.json").read_text())
    return read


def queries() -> list[str]:
    variables = [each["definition"] for each in dashboard()["templating"]["list"] if each["type"] == "query"]
    return variables + [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])]


EXPRESSIONS = [rule["expr"] for rule in rules()] + queries()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_for_what_is_exported(expression: str) -> None:
    assert set(re.findall(r"virtmux_\w+", expression)) <= set(samples())
    for label, value in re.findall(r'(\w+)=~?"([^"$]*)"', expression):
        assert label in LABELS | LABELS_OF_PROMETHEUS, label
        assert set(value.split("|")) <= VALUES.get(label, {value}), value
    for labels in re.findall(r"by \(([^)]*)\)", expression):
        assert set(re.split(r", *", labels)) <= LABELS | LABELS_OF_PROMETHEUS


def test_each_alert_says_what_is_wrong_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, rule
        assert rule["annotations"].keys() == {"summary", "description"}, rule
        named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        assert named <= {"uri", "purpose", "instance"}, rule


def test_the_panels_of_the_dashboard_are_numbered_and_stand_beside_each_other() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_page_lists_the_metrics_with_their_types_and_labels(heading: str) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    listed = [[cell.strip() for cell in row.split("|")[1:-1]] for row in re.findall(r"^\| `.*", section, re.MULTILINE)]
    assert listed == [
        [f"`{family.name}`", family.kind.value, f"`{family.by}`" if family.by else "-", family.help]
        for family in SECTIONS[heading].families
    ], f"docs/metrics.md, {heading!r}, has a row for each metric, in the order of the code"
    assert all(f"`{label}`" in section for label in SECTIONS[heading].labels)


def test_the_names_follow_the_rules_of_openmetrics() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    for family in FAMILIES:
        assert re.fullmatch(r"virtmux_[a-z_]+[a-z]", family.name)
        assert family.name.endswith("_total") is (family.kind is Kind.COUNTER), family.name
        assert family.help.endswith("."), family.name


def test_the_purposes_of_threads_are_those_of_the_daemon() -> None:
    source = Path(ROOT, "daemon", "virtmuxd", "attendance.py").read_text()
    (purposes,) = re.findall(r"counters\.threads = \{(.*)\}", source)
    assert set(re.findall(r'"(\w+)":', purposes)) == VALUES["purpose"]
