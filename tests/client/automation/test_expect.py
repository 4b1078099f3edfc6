"""`virtmux expect` against a scripted daemon."""

import json
from pathlib import Path

import pytest

from tests.harness.command import running
from tests.harness.scripted_daemon import (
    AT,
    HANDLE,
    HISTORY,
    ScriptedDaemon,
    attached,
    place,
    playing,
    reason,
    waiting,
)
from virtmux.messages import Attach, Gap, InputStatus, MarkMessage, encode
from virtmux.reasons import Cause
from virtmux.records import Note
from virtmux.wire import encode_output

DOWN = reason(Cause.GUEST_SHUTDOWN, will_retry=True)


@pytest.mark.parametrize(("output", "status"), [(b"web1 login: ", 0), (b"panic", 21), (b"emergency", 22)])
async def test_the_status_tells_which_pattern_matched(daemon: ScriptedDaemon, output: bytes, status: int) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        peer.output(b"boot\r\n" + output, at=0)
        await peer.gone()

    arguments = ("expect", "web1", r"\w+ login: ", "panic", "emergency")
    async with playing(daemon, script), running(daemon.path, *arguments) as command:
        assert await command.finish() == (status, output + b"\n", "")


async def test_in_json_a_match_has_its_groups_and_its_position(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        peer.output(b"ip 10.0.0.1 \xff\r\nmore", at=0)
        await peer.gone()

    arguments = ("expect", "web1", r"ip (\S+) (\S+)(x)?\r", "--json")
    async with playing(daemon, script), running(daemon.path, *arguments) as command:
        status, out, err = await command.finish()
    assert (status, err) == (0, "")
    assert json.loads(out) == {
        "type": "match",
        "index": 0,
        "text": {"base64": "aXAgMTAuMC4wLjEg/w0="},
        "groups": ["10.0.0.1", {"base64": "/w=="}, None],
        "position": f"{HISTORY}:14:1",
    }


@pytest.mark.parametrize("script", [False, True])
async def test_an_expression_that_a_guest_makes_run_for_ever_is_broken_off(
    daemon: ScriptedDaemon, tmp_path: Path, script: bool
) -> None:
    async def play(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        peer.output(b"a" * 60, at=0)
        await peer.gone()

    steps = tmp_path / "steps.toml"
    steps.write_text('[[step]]\nexpect = "(a+)+b"\ntimeout = 0.5\n')
    arguments = ("--script", str(steps)) if script else ("(a+)+b", "--timeout", "0.5")
    async with playing(daemon, play), running(daemon.path, "expect", "web1", *arguments) as command:
        status, out, err = await command.finish()
    assert (status, out) == (7, b"")
    assert err.startswith("virtmux: ")
    assert "within 0.5 s" in err


async def test_what_is_given_is_sent_first_and_the_answer_is_expected(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        assert await peer.expect_input(9) == b"uname -r\r"
        peer.output(b"uname -r\r\n6.1.0\r\n# ", at=0)
        peer.say(InputStatus(HANDLE, 1, accepted=9))
        await peer.gone()

    arguments = ("expect", "web1", r"\d\S+", "--send", "uname -r", "--line")
    async with playing(daemon, script), running(daemon.path, *arguments) as command:
        assert await command.finish() == (0, b"6.1.0\n", "")


async def test_from_a_position_what_came_since_counts_and_what_is_gone_is_said(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Attach)
        assert asked.position == f"{HISTORY}:3:1"
        peer.say(place(asked.id, position=asked.position, end=f"{HISTORY}:20:1"))
        peer.say(Gap(HANDLE, 3, 1, 13, 1))
        peer.output(b"login: ", at=13)
        await peer.gone()

    arguments = ("expect", "web1", "login: ", "--from", f"{HISTORY}:3:1")
    async with playing(daemon, script), running(daemon.path, *arguments) as command:
        assert await command.finish() == (
            0,
            b"login: \n",
            "virtmux: 10 bytes of output are missing here (3 to 13)\n",
        )


async def test_a_timeout_is_status_7_and_tells_what_was_seen_last(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        given = place((await peer.expect(Attach)).id)
        note = MarkMessage(HANDLE, 0, 1, Note(AT, "paused", "user"))
        # All at once, so that it is there before the time begins.
        peer.send(encode(given) + encode(note) + encode_output(HANDLE, 0, b"\x1b]0;evil\x07gr\xc3\xbcb>"))
        await peer.gone()

    arguments = ("expect", "web1", "login: ", r"pan.c", "--timeout", "0.5")
    async with playing(daemon, script), running(daemon.path, *arguments) as command:
        status, out, err = await command.finish()
    assert (status, out) == (7, b"")
    assert err.splitlines() == [
        "virtmux: guest paused: user",
        r"virtmux: expected 'login: ' or 'pan.c' within 0.5 s; last seen: '\x1b]0;evil\x07grüb>'",
    ]


async def test_an_end_is_the_status_of_its_reason_and_tells_what_was_seen_last(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        peer.output(b"Power down", at=0)
        peer.ended(1, DOWN, at=10)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "expect", "web1", "login: ") as command:
        status, out, err = await command.finish()
    assert (status, out) == (10, b"")
    assert err.splitlines() == [
        "virtmux: guest web1 shut down (guest-shutdown)",
        "virtmux: last seen: 'Power down'",
    ]


async def test_a_guest_that_does_not_run_is_its_status_once_its_past_did_not_match(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Attach)
        peer.say(waiting(asked.id, reason(Cause.GUEST_NOT_RUNNING), position=f"{HISTORY}:0:1", end=f"{HISTORY}:2:1"))
        peer.output(b"up", at=0)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "expect", "web1", "login: ", "--json") as command:
        status, out, err = await command.finish()
    assert (status, out) == (9, b"")
    first, last = map(json.loads, err.splitlines())
    assert first["cause"] == "guest-not-running"
    assert last == {"type": "failure", "text": "last seen: 'up'"}


@pytest.mark.parametrize("before", [b"log", b""], ids=["in the midst of a match", "while nothing was said"])
async def test_a_restart_of_the_daemon_is_ridden_out(daemon: ScriptedDaemon, before: bytes) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        if before:
            peer.output(before, at=0)
        peer.goodbye(reason(Cause.SERVER_STOPPING))
        daemon.stop()
        async with daemon:
            peer = await daemon.accept()
            asked = await peer.expect(Attach)
            peer.say(place(asked.id, position=asked.position))
            peer.output(b"login: "[len(before) :], at=len(before))
            await peer.gone()

    async with playing(daemon, script), running(daemon.path, "expect", "web1", "login: ") as command:
        status, out, err = await command.finish()
    assert (status, out) == (0, b"login: \n")
    assert err == "virtmux: virtmuxd is stopping (server-stopping); waiting to attach again\n"


async def test_a_secret_is_not_shown_where_the_guest_echoes_it(daemon: ScriptedDaemon, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n")

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        assert await peer.expect_input(8) == b"hunter2\r"
        peer.output(b"hunter2\r\nsh: hunter2: not found", at=0)
        peer.say(InputStatus(HANDLE, 1, accepted=8))
        await peer.gone()

    arguments = ("expect", "web1", "# ", "--secret-file", str(secret), "--line", "--timeout", "0.5")
    async with playing(daemon, script), running(daemon.path, *arguments) as command:
        status, _, err = await command.finish()
    assert status == 7
    assert r"last seen: '***\r\nsh: ***: not found'" in err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["web1"], "there is no pattern to look for"),
        (["web1", "("], "not a regular expression: b'(': missing ), unterminated subpattern"),
        (["web1", "x*"], "would always be found"),
        (["web1", *["x"] * 101], "at most 100 patterns"),
        (["web1", "x", "--script", "y"], "--script excludes patterns"),
        (["web1", "x", "--from", "here"], "not a position: 'here'"),
    ],
)
async def test_what_cannot_be_expected_is_a_usage_error(tmp_path: Path, arguments: list[str], text: str) -> None:
    async with running(tmp_path / "none", "expect", *arguments) as command:
        status, out, err = await command.finish()
    assert (status, out, len(err.splitlines())) == (2, b"", 1)
    assert text in err
