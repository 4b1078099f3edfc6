"""How things are worded, and the shape of the JSON lines."""

import json
from datetime import UTC

import pytest
from msgspec.structs import replace

from tests.harness.scripted_daemon import AT, CONSOLE, reason
from virtmux.messages import Event, Gap
from virtmux.reasons import Cause, Phase, Reason, SavedError, sentence
from virtmux.records import Break, Note
from virtmux_cli import text

SAVED = SavedError(38, "VIR_ERR_SYSTEM_ERROR", 7, "VIR_FROM_RPC", 2, "EOF", None, None, None, -1, -1, "recv")


@pytest.mark.parametrize(
    ("at", "shown"), [(AT, "2025-03-01 12:00:00"), (None, "-"), ("\x1b[2J", "\\x1b[2J")], ids=["a", "none", "bad"]
)
def test_times_are_local_to_the_second(at: str | None, shown: str) -> None:
    assert text.local_time(at, UTC) == shown


@pytest.mark.parametrize(
    ("why", "status", "begun", "option", "line"),
    [
        (reason(Cause.DETACHED), 0, True, None, "virtmux: detached"),
        (
            reason(Cause.STREAM_ENDED, error=SAVED),
            None,
            True,
            None,
            f"virtmux: {sentence(Cause.STREAM_ENDED, CONSOLE)} (stream-ended): libvirt: EOF; waiting to attach again",
        ),
        (
            reason(Cause.GUEST_NOT_RUNNING),
            None,
            False,
            None,
            "virtmux: guest web1 is not running (guest-not-running); waiting to attach",
        ),
        (
            reason(Cause.GUEST_NOT_RUNNING),
            9,
            False,
            "--wait",
            "virtmux: guest web1 is not running (guest-not-running); leaving (--wait waits until it can be attached)",
        ),
        (
            reason(Cause.GUEST_DESTROYED),
            10,
            True,
            "--stay",
            "virtmux: guest web1 was destroyed (guest-destroyed); leaving (--stay waits for its next start)",
        ),
        (reason(Cause.EVICTED), 12, True, None, "virtmux: virtmuxd sent this client away (evicted); leaving"),
    ],
)
def test_an_end_is_one_line_that_says_why_and_what_next(
    why: Reason, status: int | None, begun: bool, option: str | None, line: str
) -> None:
    assert text.end_line(why, status, begun=begun, option=option) == line


def test_an_end_of_long_ago_has_its_time() -> None:
    line = text.replayed_line(reason(Cause.GUEST_SHUTDOWN))
    assert line == f"virtmux: {text.local_time(AT)}: guest web1 shut down (guest-shutdown)"
    assert text.replayed_line(Note(AT, "paused")) == f"virtmux: {text.local_time(AT)}: guest paused"


def test_what_libvirt_said_is_not_said_twice() -> None:
    why = reason(Cause.STREAM_ERROR, text="libvirt reported: EOF", error=SAVED)
    assert text.reason_text(why) == "libvirt reported: EOF (stream-error)"


def test_an_error_says_what_to_do() -> None:
    assert text.error_line(reason(Cause.CONSOLE_NOT_PTY)).endswith("in the domain's XML")
    denied = replace(reason(Cause.ACCESS_DENIED), phase=Phase.CONNECTION)
    assert text.error_line(denied).endswith("; `virtmux doctor` says who may")
    assert "doctor" not in text.error_line(reason(Cause.ACCESS_DENIED))


def test_what_is_missing_is_counted() -> None:
    assert text.gap_line(Gap(7, 10, 3, 30, 3)) == "virtmux: 20 bytes of output are missing here (10 to 30)"
    assert text.gap_line(Gap(7, 10, 3, 30, 5)).endswith("(10 to 30), and 2 marks")
    assert text.gap_line(Gap(7, 10, 3, 10, 5)) == "virtmux: 2 marks are missing here"
    assert "may be missing" in text.break_line(Break(AT, AT, AT))
    first, last = Break(AT, AT, "2025-03-01T12:00:01Z"), Break(AT, "2025-03-01T12:00:02Z", "2025-03-01T12:00:03Z")
    assert text.breaks_line(first, first) == text.break_line(first)
    assert text.breaks_line(first, last) == (
        f"virtmux: at times nobody held the console, from {text.local_time(AT)} to {text.local_time(last.until)}; "
        "output may be missing here"
    )
    assert text.note_line(Note(AT, "renamed", "web2\x1b")) == "virtmux: guest renamed: web2\\x1b"


def test_columns_are_aligned_behind_wide_and_combining_characters() -> None:
    rows = [["客人", "x"], ["gæst", "x"], ["e\u0301a", "x"]]
    assert text.table(rows) == "客人  x\ngæst  x\ne\u0301a    x\n"


PAUSED = {"note": "paused", "detail": "IOERROR"}
EVENT_FIELDS = ["event", "at", "console", "offset", "mark", "reason"]


@pytest.mark.parametrize(
    ("event", "more"),
    [
        (Event(event="appeared", at=AT, console=CONSOLE, offset=5), {}),
        (Event(event="ended", at=AT, console=CONSOLE, offset=5, mark=2, reason=reason(Cause.GUEST_CRASHED)), {}),
        (Event(event="break", at=AT, console=CONSOLE, offset=5, mark=2, since=AT, until=AT), {"from": AT, "to": AT}),
        (Event(event="note", at=AT, console=CONSOLE, offset=5, mark=2, note="paused", detail="IOERROR"), PAUSED),
    ],
)
def test_an_event_is_one_object_with_all_its_fields(event: Event, more: dict[str, str]) -> None:
    line = text.event_json(event)
    assert line.count(b"\n") == 1
    told = json.loads(line)
    assert list(told) == EVENT_FIELDS + list(more)
    assert {name: told[name] for name in more} == more
    assert list(told["console"]) == ["hypervisor", "uri", "domain", "uuid", "device", "incarnation"]
    assert (told["mark"], told["offset"]) == (event.mark, 5)
    assert (told["reason"] or {}).get("cause") == (event.reason.cause if event.reason else None)


def test_an_event_for_a_person_is_one_line() -> None:
    event = Event(event="ended", at=AT, console=CONSOLE, offset=5, mark=2, reason=reason(Cause.GUEST_CRASHED))
    assert text.event_line(event).endswith("web1:serial0  ended  guest web1 crashed (guest-crashed)\n")
    event = Event(event="note", at=AT, console=CONSOLE, offset=5, mark=2, note="renamed", detail="web0 to web1")
    assert text.event_line(event).endswith("web1:serial0  note  renamed: web0 to web1\n")


@pytest.mark.parametrize("name", ["plain", "客人", "\x1b]0;\x07\x7f", "\x9b31m", "\u202e", "\U000e0001"])
def test_json_does_not_act_on_a_terminal(name: str) -> None:
    line = text.json_line({"name": name})
    assert line.decode().removesuffix("\n").isprintable()
    assert json.loads(line) == {"name": name}
