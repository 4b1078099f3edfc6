"""`virtmux key`, `nmi`, `start`, `who` and `kick`, as processes."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.harness.command import finished
from tests.harness.scripted_daemon import AT, CONSOLE, Peer, ScriptedDaemon, console_info, playing, reason, waiting
from virtmux.features import Feature
from virtmux.messages import Attach, Client, Console, Done, Guest, Kick, ListConsoles, Refused, Who
from virtmux.people import ClientInfo, Person, PlaceInfo, Role
from virtmux.reasons import Cause
from virtmux_cli.who_text import who_table

ALICE = ClientInfo(
    who=Person(3, "alice", 1000, 4711),
    since=AT,
    software="virtmux 0.1.0",
    read_only=False,
    places=[PlaceInfo(CONSOLE, Role.WRITER, AT)],
)
BOB = ClientInfo(who=Person(4, "bo\x1b[31mb", 1001, 0), since=AT, software="", read_only=True, places=[], more=2)


@pytest.fixture
def daemon(tmp_path: Path) -> ScriptedDaemon:
    return ScriptedDaemon(tmp_path / "virtmux.sock", features=list(Feature))


async def test_keys_are_pressed_one_chord_after_the_other(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        for keys in ([56, 99, 48], [28]):
            asked = await peer.expect(Guest)
            assert (asked.domain, asked.action, asked.keys, asked.hold_ms) == ("web1", "key", keys, 300)
            peer.say(Done(asked.id))

    async with playing(daemon, script):
        assert await finished(daemon.path, "key", "web1", "alt-sysrq-b", "enter", "--hold", "300") == (0, b"", "")


async def test_a_device_behind_the_name_is_passed_over(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Guest)
        peer.say(Refused(asked.id, reason(Cause.CONSOLE_MISSING)))
        asked = await peer.expect(Guest)
        assert (asked.domain, asked.action) == ("web1", "nmi")
        peer.say(Done(asked.id))

    async with playing(daemon, script):
        assert await finished(daemon.path, "nmi", "web1:serial0") == (0, b"", "")


async def test_an_unknown_key_is_one_line_and_nothing_is_pressed(tmp_path: Path) -> None:
    status, output, talk = await finished(tmp_path / "none.sock", "key", "web1", "ctrl-alt-delte")
    assert (status, output) == (2, b"")
    assert talk == (
        "virtmux: invalid value for 'KEYS...': no key 'delte' in 'ctrl-alt-delte'; did you mean 'delete'?; "
        "see `virtmux key --help`\n"
    )


@pytest.mark.parametrize("line", ["key web1 f2", "nmi web1", "start web1", "who", "kick 3"])
async def test_a_daemon_that_is_too_old_is_told_so(tmp_path: Path, line: str) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        await (await daemon.accept()).gone()

    old = ScriptedDaemon(tmp_path / "virtmux.sock")
    async with playing(old, script):
        status, output, talk = await finished(old.path, *line.split())
    assert (status, output) == (1, b"")
    assert "(feature-missing)" in talk


async def test_what_libvirt_refuses_is_one_line(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Guest)
        assert asked.action == "start"
        peer.say(Refused(asked.id, reason(Cause.ACTION_FAILED)))

    async with playing(daemon, script):
        status, _, talk = await finished(daemon.path, "start", "web1")
    assert (status, talk) == (1, "virtmux: libvirt could not do this to guest web1 (action-failed)\n")


async def test_a_start_whose_answer_was_lost_is_not_asked_again_and_says_what_may_be_left(
    daemon: ScriptedDaemon,
) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(waiting((await peer.expect(Attach)).id, reason(Cause.GUEST_NOT_RUNNING)))
        assert (await peer.expect(Guest)).action == "start-paused"
        daemon.stop()

    async with playing(daemon, script):
        status, _, talk = await finished(daemon.path, "start", "web1", "--attach")
    assert status == 5
    assert talk == (
        "virtmux: the connection to virtmuxd was lost; `start-paused` may have been done (server-lost); "
        "where web1 is paused now: `virsh resume web1`\n"
    )


@pytest.mark.parametrize("option", ["--stay", "--read-only", "--json", "--escape=^X", "--linger=1"])
async def test_options_of_attach_are_of_no_use_without_it(tmp_path: Path, option: str) -> None:
    status, _, talk = await finished(tmp_path / "none.sock", "start", "web1", option)
    assert status == 2
    assert "need --attach" in talk


def test_who_is_there_is_a_table_on_which_nothing_acts() -> None:
    heading, alice, bob = who_table([ALICE, BOB]).splitlines()
    assert heading.split() == ["CLIENT", "USER", "PID", "SINCE", "SOCKET", "SOFTWARE", "CONSOLES"]
    assert alice.split()[:3] == ["3", "alice", "4711"]
    assert alice.endswith("read-write  virtmux 0.1.0  web1:serial0 (writer)")
    assert bob.endswith("read-only   -              and 2 more")
    assert "\x1b" not in bob


@pytest.mark.parametrize(
    ("console", "numbers"), [([], [3, 4]), (["web1"], [3]), (["web1:serial0"], [3]), (["web2"], [])]
)
async def test_who_is_at_a_console_can_be_asked(daemon: ScriptedDaemon, console: list[str], numbers: list[int]) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Who)
        peer.say(Client(asked.id, ALICE), Client(asked.id, BOB), Done(asked.id))
        if not numbers:
            await _lists(peer, "web2")

    async with playing(daemon, script):
        status, output, _ = await finished(daemon.path, "who", "--json", *console)
    assert (status, [json.loads(line)["who"]["client"] for line in output.splitlines()]) == (0, numbers)


async def test_a_console_that_is_not_there_is_not_one_where_nobody_is(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(Done((await peer.expect(Who)).id))
        await _lists(peer, "web1")

    async with playing(daemon, script):
        status, output, talk = await finished(daemon.path, "who", "web1:serial7")
    assert (status, output) == (3, b"")
    assert talk == "virtmux: there is no console 'web1:serial7'; `virtmux list` shows what there is (console-missing)\n"


async def _lists(peer: Peer, domain: str) -> None:
    asked = await peer.expect(ListConsoles)
    info = console_info()
    peer.say(Console(asked.id, replace(info, id=replace(info.id, domain=domain))), Done(asked.id))


@pytest.mark.parametrize("number", ["alice", "4294967296", "²"])
async def test_what_is_no_number_of_a_client_is_said_with_where_they_stand(tmp_path: Path, number: str) -> None:
    status, _, talk = await finished(tmp_path / "none.sock", "kick", number)
    assert status == 2
    assert f"not the number of a client: {number!r} (`virtmux who` shows them)" in talk


async def test_a_client_is_kicked_by_its_number(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Kick)
        assert asked.client == 3
        peer.say(Done(asked.id))

    async with playing(daemon, script):
        assert await finished(daemon.path, "kick", "3") == (0, b"", "")
