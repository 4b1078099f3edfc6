"""A file of steps: what it does, and what it says where that fails."""

import json
from pathlib import Path

import pytest

from tests.harness.command import running
from tests.harness.scripted_daemon import HANDLE, Peer, ScriptedDaemon, place, playing, reason, waiting
from virtmux.messages import Attach, InputStatus
from virtmux.reasons import Cause
from virtmux_cli.automation.script import load

LOGIN = """
timeout = 10

[[step]]
wait = "attached"

[[step]]
expect = ["login: ", "name: "]
fail = ["panic", "emergency"]

[[step]]
send = "root"
line = true

[[step]]
expect = "Password: "

[[step]]
secret-file = "password"
line = true

[[step]]
expect = "# "
timeout = 0.5
"""


@pytest.fixture
def daemon(tmp_path: Path) -> ScriptedDaemon:
    (tmp_path / "password").write_text("hunter2\n")
    (tmp_path / "login.toml").write_text(LOGIN)
    return ScriptedDaemon(tmp_path / "virtmux.sock")


def arguments(daemon: ScriptedDaemon, *more: str) -> tuple[str, ...]:
    return ("expect", "web1", "--script", str(daemon.path.parent / "login.toml"), *more)


async def started(daemon: ScriptedDaemon) -> Peer:
    peer = await daemon.accept()
    peer.say(waiting((await peer.expect(Attach)).id, reason(Cause.GUEST_NOT_RUNNING, will_retry=True)))
    peer.attached(1, at=0, attachment=1)
    return peer


async def logged_in(peer: Peer, answer: bytes) -> None:
    peer.output(b"login: ", at=0)
    assert await peer.expect_input(5) == b"root\r"
    peer.say(InputStatus(HANDLE, 1, accepted=5))
    peer.output(b"root\r\nPassword: ", at=7)
    assert await peer.expect_input(8) == b"hunter2\r"
    peer.output(answer, at=23)
    peer.say(InputStatus(HANDLE, 1, accepted=13))


async def test_each_step_goes_on_behind_the_one_before(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await started(daemon)
        await logged_in(peer, b"\r\n# ")
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, *arguments(daemon, "--json")) as command:
        status, out, _ = await command.finish()
    assert status == 0
    matches = [json.loads(line) for line in out.splitlines()]
    assert [(match["step"], match["text"]) for match in matches] == [(2, "login: "), (4, "Password: "), (6, "# ")]


async def test_a_step_that_fails_is_named_with_its_file_and_what_was_expected(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await started(daemon)
        await logged_in(peer, b"hunter2 is wrong")
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, *arguments(daemon)) as command:
        status, out, err = await command.finish()
    assert (status, out) == (7, b"login: \nPassword: \n")
    name = daemon.path.parent / "login.toml"
    assert err.splitlines()[-1] == (
        f"virtmux: {name}, step 6: expected '# ': not within 0.5 s; last seen: '*** is wrong'"
    )


async def test_what_must_not_come_first_ends_it_with_a_status_of_its_own(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await started(daemon)
        peer.output(b"emergency", at=0)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, *arguments(daemon)) as command:
        status, out, err = await command.finish()
    assert (status, out) == (22, b"emergency\n")
    assert err.splitlines()[-1].endswith("step 2: expected 'login: ' or 'name: ': 'emergency' came first")


async def test_the_end_of_the_guest_is_its_status(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await started(daemon)
        peer.ended(2, reason(Cause.GUEST_CRASHED), at=0)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, *arguments(daemon)) as command:
        status, _, err = await command.finish()
    assert status == 11
    assert err.splitlines()[-1].endswith("step 2: expected 'login: ' or 'name: ': guest web1 crashed (guest-crashed)")


async def test_what_cannot_be_sent_yet_says_what_would_help(daemon: ScriptedDaemon) -> None:
    (daemon.path.parent / "login.toml").write_text('[[step]]\nsend = "x"\n[[step]]\nwait = "ended"\n')

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(waiting((await peer.expect(Attach)).id, reason(Cause.GUEST_NOT_RUNNING)))
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, *arguments(daemon)) as command:
        status, _, err = await command.finish()
    assert status == 9
    assert err.endswith(
        'step 1: sent 1 bytes: guest web1 is not running (guest-not-running); a step `wait = "attached"` waits for it\n'
    )


async def test_a_step_may_wait_for_the_end(daemon: ScriptedDaemon) -> None:
    (daemon.path.parent / "login.toml").write_text('[[step]]\nkey = ["ctrl-c", "x"]\n[[step]]\nwait = "ended"\n')

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(place((await peer.expect(Attach)).id))
        assert await peer.expect_input(2) == b"\x03x"
        peer.say(InputStatus(HANDLE, 1, accepted=2))
        peer.ended(1, reason(Cause.GUEST_SHUTDOWN), at=0)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, *arguments(daemon)) as command:
        assert await command.finish() == (0, b"guest web1 shut down (guest-shutdown)\n", "")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("step = 1", ": Expected `array`, got `int` (`step`)"),
        ("x = 1", ": Object contains unknown field `x`"),
        ('[[step]]\nexpect = "a"\n[[step]]\ntimeout = "x"', ", step 2: Expected `float | null`, got `str` (`timeout`)"),
        ('[[step]]\nexpekt = "a"', ", step 1: Object contains unknown field `expekt`"),
        ('[[step]]\nexpect = "("', ", step 1: not a regular expression: b'(': missing ), unterminated"),
        ("[[step]]\nexpect = []", ", step 1: there is no pattern to look for"),
        ('[[step]]\nexpect = "a"\nsend = "b"', ", step 1: each step has exactly one of expect, send, key"),
        ('[[step]]\nsend = "b"\nkey = "up"', ", step 1: each step has exactly one of expect, send, key"),
        ("[[step]]\nline = true", ", step 1: each step has exactly one of expect, send, key"),
        ('[[step]]\nwait = "ended"\nline = true', ", step 1: `line` and `delay` belong to what is sent"),
        ('[[step]]\nwait = "ended"\nfail = "x"', ", step 1: `fail` belongs to `expect`"),
        ('[[step]]\nkey = "hyper"', ", step 1: a terminal of kind xterm has no key 'hyper'"),
        ('[[step]]\nsecret-env = "NOT_THERE"', ", step 1: there is no environment variable 'NOT_THERE'"),
        ("[[step", ": no TOML: "),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line_with_its_step(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r".") as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}{error}")
    assert "\n" not in str(caught.value)


def test_a_script_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{tmp_path}/x: No such file or directory"):
        load(tmp_path / "x")
