"""The table of boots."""

from tests.harness.log_source import INFOS, NEW, OLD, at
from virtmux_cli.log.boots import boots_table
from virtmux_cli.log.choice import boots
from virtmux_cli.text import local_time


def test_a_history_without_a_start_has_none() -> None:
    assert boots([INFOS[0]._replace(incarnations=())]) == []


def test_each_boot_has_a_row_with_its_positions_and_its_end() -> None:
    header, *rows = boots_table(boots(INFOS)).splitlines()
    assert header.split() == ["BOOT", "INCARNATION", "BEGAN", "FIRST", "POSITION", "LAST", "POSITION", "ENDED"]
    assert [row.split()[:2] for row in rows] == [["-2", "1"], ["-1", "2"], ["0", "1"]]
    assert rows[0].split()[4:6] == [f"{OLD}:0:1", f"{OLD}:16:3"]
    assert rows[0].endswith("guest web1 shut down (guest-shutdown)")
    assert local_time(at(10)) in rows[2]
    assert rows[2].split()[-2:] == [f"{NEW}:28:2", "-"]
