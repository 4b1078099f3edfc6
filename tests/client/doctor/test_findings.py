"""What `virtmux doctor` finds, from what libvirt and the daemon say."""

import json

import pytest
from msgspec.structs import replace

from tests.harness.life import BUSY
from tests.harness.scripted_daemon import AT, CONSOLE, console_info, hypervisor_info, reason
from virtmux.domains import DeviceInfo, DomainInfo
from virtmux.reasons import Cause
from virtmux_cli.doctor.console import Holder, attach_findings, claim_findings, output_findings, shared_findings
from virtmux_cli.doctor.finding import Finding, findings_json, findings_text, main_status
from virtmux_cli.doctor.guest import guest_findings, no_domain
from virtmux_cli.doctor.host import hypervisor_findings, journal_findings

WEB1 = DomainInfo(
    uri=CONSOLE.uri,
    domain="web1",
    uuid=CONSOLE.uuid,
    running=True,
    paused=False,
    served=True,
    devices=[DeviceInfo("serial0", "pty"), DeviceInfo("serial1", "file")],
    graphics=["vnc"],
)
BUSY_REASON = reason(Cause.CONSOLE_BUSY, error=BUSY)


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


def test_a_guest_that_runs_with_a_pty_is_fine() -> None:
    assert guest_findings(WEB1, None) == guest_findings(WEB1, "serial0") == []


@pytest.mark.parametrize(
    ("facts", "device", "name", "status", "hint"),
    [
        ({"served": False}, None, "domain-excluded", 3, "`--domain`"),
        ({"running": False}, None, "guest-off", 9, "`virtmux start --attach web1`"),
        ({"paused": True}, None, "guest-paused", 9, "`virsh resume web1`"),
        ({}, "serial1", "not-pty", 3, "Attach to web1:serial0"),
        ({"devices": [DeviceInfo("serial0", "unix")]}, None, "not-pty", 3, "<serial type='pty'/>"),
        ({}, "serial7", "device-missing", 3, "serial0, serial1"),
        ({"devices": []}, None, "graphical-only", 3, "`virt-viewer web1`"),
        ({"devices": [], "graphics": []}, None, "no-console-device", 3, "<serial type='pty'/>"),
    ],
)
def test_what_a_domain_lacks_is_told_with_what_to_do(
    facts: dict[str, object], device: str | None, name: str, status: int, hint: str
) -> None:
    finding = only(guest_findings(replace(WEB1, **facts), device))
    assert (finding.name, finding.status) == (name, status)
    assert hint in f"{finding.known} {finding.do}"


def test_the_main_cause_comes_first() -> None:
    findings = guest_findings(replace(WEB1, running=False, devices=[]), None)
    assert [finding.name for finding in findings] == ["graphical-only", "guest-off"]
    assert main_status(findings) == 3


def test_of_a_name_that_is_not_known_similar_ones_are_told() -> None:
    finding = no_domain("wbe1", ["web1", "web1", "db1"])
    assert (finding.status, finding.wrong) == (3, "There is no domain 'wbe1'.")
    assert finding.do.startswith("Did you mean web1?")


@pytest.mark.parametrize(
    ("facts", "name", "hint"),
    [
        ({"released": "until-reclaimed"}, "console-released", "`virtmux reclaim web1:serial0`"),
        ({"released": AT}, "console-released", ", until 20"),
        ({"released": "while-in-use"}, "console-released", "Wait for its end"),
        ({"policy": "never"}, "policy-never", "`attach`"),
    ],
)
def test_that_virtmux_may_not_hold_it_is_told(facts: dict[str, str], name: str, hint: str) -> None:
    finding = only(claim_findings(console_info(**facts)))
    assert (finding.name, finding.status) == (name, 8)
    assert hint in f"{finding.known} {finding.do}"
    assert claim_findings(console_info()) == []


SURE = Holder(4711, "alice", "virsh console web1", sure=True)
PERHAPS = Holder(4712, "bob", "virt-manager", sure=False)


@pytest.mark.parametrize(
    ("holders", "known"),
    [
        ([SURE, PERHAPS], "On this host it is `virsh console web1` (pid 4711, user alice)."),
        ([PERHAPS], "It may be `virt-manager` (pid 4712, user bob)."),
        ([], "No process of this host looks like it: it may be a client on another."),
    ],
)
def test_who_holds_a_console_is_told_as_far_as_it_is_known(holders: list[Holder], known: str) -> None:
    finding = only(attach_findings(console_info(), BUSY_REASON, holders))
    assert (finding.name, finding.status) == ("console-held", 8)
    assert BUSY.message in finding.known
    assert finding.known.endswith(known)
    assert "`virtmux console --force web1`" in finding.do


def test_another_failure_to_attach_is_told_with_its_cause() -> None:
    finding = only(attach_findings(console_info(), reason(Cause.HYPERVISOR_DENIED), []))
    assert (finding.status, "(hypervisor-denied)" in finding.known) == (4, True)
    assert attach_findings(console_info(), None, []) == []


@pytest.mark.parametrize(
    ("command_line", "advice"),
    [
        (None, "Linux wants `console=ttyS0`"),
        ("quiet root=/dev/vda1", "('quiet root=/dev/vda1'), has no `console=ttyS0`"),
        ("console=ttyS0 quiet", "names a console ('console=ttyS0 quiet')"),
    ],
)
def test_a_guest_that_prints_nothing_is_told_what_it_may_lack(command_line: str | None, advice: str) -> None:
    finding = only(output_findings(console_info(), replace(WEB1, command_line=command_line), 2.0))
    assert (finding.name, finding.status) == ("guest-silent", 1)
    assert advice in finding.do
    assert "serial-getty@ttyS0" in finding.do
    assert output_findings(console_info(last_output=AT), WEB1, 2.0) == []


def test_a_shared_console_is_worth_knowing_and_no_failure() -> None:
    finding = only(shared_findings(console_info(exclusive=False)))
    assert finding.status == main_status([finding]) == 0
    assert shared_findings(console_info()) == []


@pytest.mark.parametrize(
    ("cause", "name", "status"),
    [
        (Cause.HYPERVISOR_LOST, "hypervisor-unreachable", 6),
        (Cause.HYPERVISOR_DENIED, "libvirt-permission", 4),
        (None, "hypervisor-unreachable", 6),
    ],
)
def test_a_hypervisor_that_is_away_is_told(cause: Cause | None, name: str, status: int) -> None:
    away = hypervisor_info(connected=False, reason=None if cause is None else reason(cause))
    finding = only(hypervisor_findings([hypervisor_info(), away]))
    assert (finding.name, finding.status) == (name, status)


def test_a_journal_that_fails_is_told_with_the_consoles() -> None:
    finding = only(journal_findings([console_info(), console_info(journal="failing")]))
    assert (finding.name, finding.status, "web1:serial0" in finding.wrong) == ("journal-failing", 1, True)


def test_findings_are_paragraphs_on_which_nothing_acts_and_json_lines() -> None:
    findings = [
        Finding("one", 3, "It is \x1b[31mwrong.", "That is known.", "Do this."),
        Finding("two", 9, "A.", "B.", "C."),
    ]

    assert findings_text(findings, "Fine.", 30) == "It is \\x1b[31mwrong. That is\nknown. Do this.\n\nA. B. C.\n"
    assert [json.loads(line)["name"] for line in findings_json(findings).splitlines()] == ["one", "two"]
    assert findings_text([], "Fine.", 30) == "Fine.\n"
    assert findings_text([replace(findings[1], status=0)], "Fine.", 30) == "Fine.\n\nA. B. C.\n"
