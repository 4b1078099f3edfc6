"""The configuration's page and its example, held against the code."""

import re
from pathlib import Path

import msgspec
import pytest
from msgspec import NODEFAULT, Struct

from tests.harness.pages import OPERATORS, ROOT, blocks, rows, sections
from virtmuxd.config.files import load
from virtmuxd.config.instance import Instance
from virtmuxd.config.schema import AccessRule, Config, ConsoleRule, HypervisorRule, MetricRules, keys_that_wait
from virtmuxd.core.access import USE, Right
from virtmuxd.core.limits import LimitRules

PAGE = ROOT / "docs" / "configuration.md"
EXAMPLE = ROOT / "examples" / "virtmuxd.toml"
TABLES: dict[str, type[Struct]] = {
    "key": Config,
    "key of hypervisor": HypervisorRule,
    "key of console": ConsoleRule,
    "key of access": AccessRule,
    "key of limits": LimitRules,
    "key of metrics": MetricRules,
}
#: What the page says of them where the code says None, or nothing in itself.
IN_WORDS = (
    "none",
    "see there",
    "must be there",
    "the key at the top",
    "the `pool` at the top",
    "the system's",
    "`/run",
    "`/var",
)


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize(("heading", "table"), TABLES.items())
def test_every_key_is_explained_with_its_default(heading: str, table: type[Struct]) -> None:
    explained: dict[str, str] = {}
    for keys, defaults, text in rows(PAGE, heading):
        assert text
        values = defaults.split(", ") if len(codes(keys)) > 1 else [defaults]
        explained |= dict(zip(codes(keys), values, strict=True))

    fields = msgspec.structs.fields(table)
    named = [field.name for field in fields]
    assert list(explained) == named, f"docs/configuration.md, {heading!r}, has a row for each, in that order"
    for field in fields:
        said = explained[field.name]
        if not said.startswith(IN_WORDS):
            assert field.default is not NODEFAULT
            assert said.strip("`") == msgspec.json.encode(field.default).decode()


def test_every_right_is_explained_and_those_of_the_groups() -> None:
    assert [codes(right) for right, _ in rows(PAGE, "right")] == [[each] for each in Right]
    who = {who: codes(rights) for who, rights in rows(PAGE, "who")}
    assert {Right(each) for each in who["members of `virtmux`"]} == USE
    assert who["members of `virtmux-watch`"] == ["watch"]


def test_every_key_that_a_reload_puts_into_effect_is_named() -> None:
    section = sections(PAGE)["What a reload changes"]
    at_once, _, waiting = section.partition("\nThe other keys wait ")
    named = [key for line in at_once.splitlines() if line.startswith("- ") for key in codes(line)]
    live = set(Config.__struct_fields__) - set(keys_that_wait(Config))
    assert sorted(named) == sorted(live), "docs/configuration.md, 'What a reload changes', names each"
    others = [*keys_that_wait(HypervisorRule), *keys_that_wait(ConsoleRule)]
    assert codes(waiting) == others, "docs/configuration.md, 'What a reload changes', names the others, in that order"


def test_the_example_of_the_guide_can_be_used(tmp_path: Path) -> None:
    (text,) = blocks(OPERATORS, "Configuration", "toml")
    path = tmp_path / "virtmuxd.toml"
    path.write_text(text)
    assert load([path]) != Config()


def uncommented() -> str:
    """The example with all its keys and tables, which stand behind a `#` without a blank."""
    return re.sub(r"^#(?=[a-z\[])", "", EXAMPLE.read_text(), flags=re.MULTILINE)


def test_the_example_as_it_is_changes_nothing() -> None:
    assert load([EXAMPLE]) == Config()


def test_the_example_has_every_key_with_its_default(tmp_path: Path) -> None:
    path = tmp_path / "virtmuxd.toml"
    path.write_text(uncommented())

    config = load([path])

    for table in TABLES.values():
        for field in msgspec.structs.fields(table):
            assert re.search(rf"^(\[+)?{field.name}\b", uncommented(), re.MULTILINE), (
                f"examples/virtmuxd.toml lacks {field.name}"
            )
    default = Instance.SYSTEM.settle(Config(), {})
    differing = [name for name in Config.__struct_fields__ if getattr(config, name) != getattr(default, name)]
    assert differing == ["hypervisor", "console", "access", "log_group"]
