"""Every line that a command prints as JSON fits the schema that is published of it, and says no more than that."""

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest

from tests.harness.json_schema import check
from tests.harness.scripted_daemon import AT, CONSOLE, console_info, hypervisor_info, reason
from virtmux.messages import Company, DaemonHello, Event, Gap
from virtmux.people import Companion, Person, Role
from virtmux.reading import Match
from virtmux.reasons import Cause, SavedError
from virtmux.records import Attached, Break, Ended, Mark, Note, Position, rfc3339
from virtmux_cli.attach.company import RoleNews
from virtmux_cli.attach.state import End, OtherHistory, Withheld
from virtmux_cli.attach.talk import Talk, on_stderr
from virtmux_cli.automation.match_text import match_json
from virtmux_cli.json_types import LINES
from virtmux_cli.listing import Host, list_json, status_json
from virtmux_cli.log import records
from virtmux_cli.log.jsonlines import JsonLog
from virtmux_cli.text import event_json

BOB = Person(2, "bob", 1000, 4711)
SAVED = SavedError(38, "VIR_ERR_SYSTEM_ERROR", 7, "VIR_FROM_RPC", 2, "EOF", None, None, None, -1, -1, "recv")
CRASHED = reason(Cause.GUEST_CRASHED, error=SAVED, later_errors=(SAVED,), moved_to="qemu:///system")
HYPERVISORS = [hypervisor_info(), hypervisor_info(id=None, connected=False, reason=CRASHED)]
CONSOLES = [console_info(), console_info(last_end=CRASHED, last_output=AT, attachment=None, released=AT)]
EVENTS: dict[str, dict[str, Any]] = {
    "appeared": {},
    "attached": {"mark": 1},
    "ended": {"mark": 2, "reason": CRASHED},
    "waiting": {"reason": CRASHED},
    "break": {"mark": 3, "since": AT, "until": AT},
    "note": {"mark": 4, "note": "renamed", "detail": "web2"},
    "vanished": {},
    "journal-failed": {"detail": "No space left on device"},
    "journal-recovered": {},
    "journal-gap": {"to_offset": 9, "detail": None},
}


def kinds(lines: Sequence[dict[str, Any]], field: str) -> set[str]:
    return {line[field] for line in lines if field in line}


@pytest.mark.parametrize("name", [None, "alpha"], ids=["here", "other host"])
def test_list_and_status(name: str | None) -> None:
    host = Host(name, DaemonHello(software="virtmuxd 1", features=["a"]), HYPERVISORS, CONSOLES, "/s")
    assert kinds(check("list", list_json(host)), "type") == {"hypervisor", "console"}
    assert kinds(check("status", status_json(host)), "type") == {"daemon", "hypervisor"}


@pytest.mark.parametrize("host", [None, "alpha"])
@pytest.mark.parametrize("kind", EVENTS)
def test_events(kind: str, host: str | None) -> None:
    event = Event(event=kind, at=AT, console=CONSOLE, offset=5, **EVENTS[kind])
    assert kinds(check("events", event_json(event, host)), "event") == {kind}


def test_every_event_that_has_a_schema_is_tried() -> None:
    assert {line.__struct_config__.tag for line in LINES["events"]} == set(EVENTS)  # type: ignore[attr-defined]


def test_log() -> None:
    log = JsonLog()
    marks: list[Mark] = [Attached(AT, 1, 1), Ended(AT, None, CRASHED), Break(AT, AT, AT), Note(AT, "paused")]
    told: list[records.Record] = [
        records.History("a" * 32),
        records.Chunk(0, b"text", 0),
        records.Chunk(4, b"\xff", None),
        records.Gap(5, 1, 9, 1, "why"),
        *(records.Marked(9, number, mark) for number, mark in enumerate(marks)),
    ]
    lines = check("log", b"".join(map(log.render, told)) + log.close())
    assert kinds(lines, "type") == {"history", "output", "mark", "gap"}
    assert lines[1]["at"] == rfc3339(0)


def test_attach(capfd: pytest.CaptureFixture[str]) -> None:
    talk = Talk(on_stderr, person=True, as_json=True, quiet=False)
    talk.end(End(CRASHED, 11), begun=True)
    talk.replayed(CRASHED)
    talk.missing(Gap(7, 0, 1, 5, 1, "why"))
    talk.missing(Break(AT, AT, AT))
    talk.missing(OtherHistory())
    talk.missing(Withheld())
    talk.note(Note(AT, "paused", "IOERROR"))
    talk.input_lost(CRASHED, 5, 2)
    talk.input_held("web1", 5, 2)
    talk.input_left(5, 2)
    talk.input_not_sent(BOB)
    talk.input_waits(None)
    talk.input_dropped(5)
    talk.role(RoleNews(Role.WATCHER, BOB, None), 7)
    talk.company(Company(7, [Companion(BOB, Role.WRITER)]))
    talk.failed(CRASHED)
    talk.complain("too late")
    lines = check("attach", capfd.readouterr().err.encode())
    told = {"gap", "other-history", "withheld", "role", "company", "failure"}
    inputs = {"input-lost", "input-held", "input-left", "input-not-sent", "input-waits", "input-dropped"}
    assert kinds(lines, "type") == told | inputs
    assert kinds(lines, "kind") == {"break", "note"}


def test_expect() -> None:
    found = re.match(rb"(a)|(\xff)|(c)", b"\xff")
    assert found is not None
    match = Match(1, found, b"", Position("0" * 32, 5, 1))
    assert check("expect", match_json(match, bytes))[0]["groups"] == [None, {"base64": "/w=="}, None]
    assert check("expect", match_json(match, bytes, step=2))[0]["step"] == 2


def test_what_a_schema_does_not_know_is_found() -> None:
    with pytest.raises(AssertionError, match="'more' was unexpected"):
        check("attach", json.dumps({"type": "failure", "text": "x", "more": 1}).encode())
