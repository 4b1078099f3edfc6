"""What `list` and `status` tell: rows and JSON lines."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from tests.harness.scripted_daemon import AT, CONSOLE, console_info, hypervisor_info, reason
from virtmux.messages import ConsoleInfo, Counters, DaemonHello, HypervisorInfo, State
from virtmux.reasons import Cause
from virtmux_cli.listing import (
    Host,
    away_lines,
    hypervisor_rows,
    list_json,
    list_rows,
    matching,
    status_json,
    status_rows,
)
from virtmux_cli.text import local_time, table


def host(*consoles: ConsoleInfo, name: str | None = None, hypervisors: Sequence[HypervisorInfo] = ()) -> Host:
    return Host(name, DaemonHello(software="virtmuxd 9"), list(hypervisors), list(consoles), "/s")


def named(domain: str, device: str = "serial0") -> ConsoleInfo:
    return console_info(id=replace(CONSOLE, domain=domain, device=device))


def test_columns_are_aligned_and_names_sanitised() -> None:
    evil = console_info(id=replace(CONSOLE, domain="\x1b[31mlong"), last_end=reason(Cause.GUEST_SHUTDOWN))
    header, first, second = table(list_rows([host(console_info(last_output=AT), evil)])).splitlines()
    assert header.split("  ")[0] == "CONSOLE"
    assert "HYPERVISOR" not in header
    assert "\\x1b[31mlong:serial0" in first
    assert "guest-shutdown" in first
    assert first.index("attached") == second.index("attached") == header.index("STATE")


def test_hypervisors_are_shown_where_there_is_more_than_one() -> None:
    other = console_info(id=replace(CONSOLE, hypervisor="0b/QEMU/system", uri="qemu+ssh://b/system"))
    header, _, second = table(list_rows([host(console_info(), other)])).splitlines()
    assert header.endswith("HYPERVISOR")
    assert second.endswith("qemu:///system")


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({"paused": True}, "attached, paused"),
        ({"released": "until-reclaimed"}, "attached, released"),
        ({"released": "while-in-use"}, "attached, released while in use"),
        ({"released": AT, "exclusive": False}, f"attached, released until {local_time(AT)}, shared"),
    ],
)
def test_what_else_there_is_to_know_stands_behind_the_state(facts: dict[str, Any], state: str) -> None:
    assert f"  {state}  " in table(list_rows([host(console_info(**facts))]))


def test_a_hypervisor_that_is_not_connected_has_a_line_behind_the_table() -> None:
    why = reason(Cause.HYPERVISOR_LOST, text="no answer\x1b")
    away = hypervisor_info(uri="qemu+ssh://b/system", connected=False, reason=why)
    new = hypervisor_info(uri="lxc:///", connected=False)
    assert away_lines([host(hypervisors=[hypervisor_info(), away, new])]) == [
        r"qemu+ssh://b/system: no answer\x1b (hypervisor-lost)",
        "lxc:///: not connected yet",
    ]


def test_in_json_each_line_says_first_what_it_is() -> None:
    counters = Counters(cuts=1, ends={Cause.GUEST_CRASHED: 2})
    lines = list_json(host(console_info(), hypervisors=[hypervisor_info(counters=counters)])).splitlines()
    hypervisor, console = (json.loads(line) for line in lines)
    assert next(iter(hypervisor.items())) == ("type", "hypervisor")
    assert hypervisor["counters"] == {
        "cuts": 1,
        "stuck_calls": 0,
        "ends": {"guest-crashed": 2},
        "journal_failures": 0,
        "journal_lost": 0,
    }
    assert next(iter(console.items())) == ("type", "console")
    assert (console["id"]["domain"], console["policy"]) == ("web1", "on-demand")


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ([], ["web1:serial0", "web1:serial1", "a:b:serial0"]),
        (["web1"], ["web1:serial0", "web1:serial1"]),
        (["w*:serial1", "a:b"], ["web1:serial1", "a:b:serial0"]),
        (["WEB1", "web"], []),
    ],
)
def test_a_pattern_is_a_glob_on_the_domain_or_on_the_console(patterns: Sequence[str], found: Sequence[str]) -> None:
    consoles = [named("web1"), named("web1", "serial1"), named("a:b")]
    assert [f"{info.id.domain}:{info.id.device}" for info in matching(consoles, patterns)] == found


def test_of_several_hosts_each_row_and_each_json_line_says_which() -> None:
    hosts = [host(console_info(), name="a"), host(console_info(), name="b")]
    assert [row[:2] for row in list_rows(hosts)] == [["HOST", "CONSOLE"], ["a", "web1:serial0"], ["b", "web1:serial0"]]
    assert "HYPERVISOR" not in list_rows(hosts)[0]
    assert [list(json.loads(list_json(each)))[:2] for each in hosts] == [["type", "host"]] * 2
    other = console_info(id=replace(CONSOLE, hypervisor="0b/QEMU/system", uri="qemu+ssh://b/system"))
    assert list_rows([host(console_info(), other, name="a"), host(name="b")])[0][-1] == "HYPERVISOR"


def test_the_status_counts_consoles_by_their_state_and_the_clients_at_them() -> None:
    told = host(named("a"), replace(named("b"), state=State.ABSENT, clients=2), hypervisors=[hypervisor_info()])
    assert status_rows(told) == [
        ["daemon", "virtmuxd 9"],
        ["socket", "/s"],
        ["protocol", "1"],
        ["features", "-"],
        ["consoles", "2 (1 absent, 1 attached)"],
        ["clients", "3 at these consoles"],
    ]
    daemon, hypervisor = map(json.loads, status_json(told).splitlines())
    assert (daemon["type"], daemon["software"], daemon["clients"]) == ("daemon", "virtmuxd 9", 3)
    assert daemon["consoles"] == {"absent": 1, "opening": 0, "attached": 1, "ending": 0, "waiting": 0}
    assert hypervisor["type"] == "hypervisor"


def test_of_a_hypervisor_the_status_shows_what_was_counted() -> None:
    counters = Counters(cuts=1, ends={Cause.GUEST_CRASHED: 2, Cause.EVICTED: 1})
    _, row = hypervisor_rows([hypervisor_info(counters=counters)])
    assert row == ["qemu:///system", "connected", local_time(AT), "1", "3", "1", "0", "0", "0"]
