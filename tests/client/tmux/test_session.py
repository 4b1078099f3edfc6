"""What tmux makes of what it is told, with a real tmux."""

import subprocess

import click
import pytest

from tests.harness.scripted_daemon import CONSOLE
from tests.harness.tmux import Tmux
from virtmux_cli.tmux.naming import Key
from virtmux_cli.tmux.session import Purpose, Session, run, tmux_server

SLEEP = ("sleep", "1000")
KEY = Key.of(None, CONSOLE)
HOSTILE = "a.b:c #(touch ran) #{host}#[bg=red];"
PURPOSE = Purpose("--socket '/a b;'", ["web*", HOSTILE])


@pytest.fixture
def session(tmux: Tmux) -> Session:
    made = Session.make(tmux_server(), "virtmux", SLEEP, PURPOSE)
    assert made is not None
    return made


def test_a_session_keeps_what_it_is_for(session: Session) -> None:
    assert session.purpose == PURPOSE
    session.purpose = Purpose("", [])
    assert session.purpose == Purpose("", [])


def test_a_session_is_made_once(tmux: Tmux, session: Session) -> None:
    assert Session.make(session.server, "virtmux", SLEEP, PURPOSE) is None
    found = Session.find(session.server, "virtmux")
    assert found is not None
    assert found.id == session.id
    assert Session.find(session.server, "virt") is None
    assert tmux.run("list-sessions", "-F", "#{session_name}") == ["virtmux"]


def test_a_session_of_a_person_is_for_nothing_yet(tmux: Tmux) -> None:
    tmux.run("new-session", "-d", "-s", "mine", "-n", "first", *SLEEP)
    session = Session.find(tmux_server(), "mine")
    assert session is not None
    assert session.purpose is None
    assert session.contents() == ([], None, None)
    session.start_follower(SLEEP, None)
    assert session.contents().follower is not None
    assert [window.name for window in tmux.windows("mine")] == ["first", "virtmux"]


def test_a_window_is_found_by_its_key_whatever_it_is_called(tmux: Tmux, session: Session) -> None:
    session.open(KEY, "web1", HOSTILE, SLEEP)
    window = tmux.window(HOSTILE)
    assert window.name == "web1"
    tmux.run("rename-window", "-t", window.id, "mine")
    (pane,) = session.contents().panes
    assert (pane.window, pane.key, pane.alone, pane.dead) == (window.id, KEY, True, False)
    session.rename(pane.window, "web2", f"{HOSTILE}2")
    assert tmux.window(f"{HOSTILE}2").name == "web2"


def test_nothing_of_a_console_is_run_or_expanded(tmux: Tmux, session: Session) -> None:
    session.open(KEY, "web1", HOSTILE, SLEEP)
    session.rename(tmux.window(HOSTILE).id, "web1", HOSTILE)
    session.server.cmd("set-option", "-g", "window-status-format", "#{@virtmux-console}")
    assert tmux.run("display-message", "-p", "-t", tmux.window(HOSTILE).id, "#{@virtmux-console}") == [HOSTILE]
    # What would have run: this does, as long as whoever named the window waits.
    command = "#(touch control; tmux wait-for -S done)"
    tmux.run("rename-window", "-t", tmux.window(HOSTILE).id, command, ";", "wait-for", "done")
    assert (tmux.directory / "control").exists()
    assert not (tmux.directory / "ran").exists()


async def test_a_command_gets_its_words_as_they_are(tmux: Tmux, session: Session) -> None:
    words = ["a b", "#(touch ran)", "$HOME", "x;", ";", "'"]
    session.open(KEY, "web1", "web1:serial0", ["sh", "-c", 'for word; do echo "[$word]"; done; exit 1', "sh", *words])
    window = tmux.window("web1:serial0").id
    shown = [f"[{word}]" for word in words]
    await tmux.until(lambda: tmux.screen(window).splitlines()[: len(words)] == shown)
    assert not (tmux.directory / "ran").exists()


async def test_a_window_stays_where_its_command_fails_and_is_begun_again(tmux: Tmux, session: Session) -> None:
    session.open(KEY, "web1", "web1:serial0", ["sh", "-c", "echo the reason; exit 10"])
    window = tmux.window("web1:serial0").id
    await tmux.until(lambda: tmux.window("web1:serial0").dead)
    await tmux.until_shown(window, "the reason")
    (pane,) = session.contents().panes
    assert pane.dead
    other = KEY._replace(device="serial1")
    session.restart(pane.pane, other, SLEEP)
    (pane,) = session.contents().panes
    assert (pane.key, pane.dead) == (other, False)


@pytest.mark.parametrize("status", [0, 130])
async def test_a_window_goes_where_its_command_ends_well_or_is_interrupted(
    tmux: Tmux, session: Session, status: int
) -> None:
    for _ in range(5):
        session.open(KEY, "web1", "web1:serial0", ["sh", "-c", f"exit {status}"])
    await tmux.until(lambda: not tmux.names())
    assert session.contents().panes == []


def test_panes_that_share_a_window_are_not_alone(tmux: Tmux, session: Session) -> None:
    for device in ("serial0", "serial1"):
        session.open(KEY._replace(device=device), device, f"web1:{device}", SLEEP)
    first, second = session.contents().panes
    tmux.run("split-window", "-d", "-t", first.pane, *SLEEP)
    assert [pane.alone for pane in session.contents().panes] == [True, True]
    tmux.run("join-pane", "-d", "-s", second.pane, "-t", first.pane)
    assert [pane.alone for pane in session.contents().panes] == [False, False]


def test_a_pane_at_which_somebody_wrote_something_else_is_not_ours(tmux: Tmux, session: Session) -> None:
    session.open(KEY, "web1", "web1:serial0", SLEEP)
    tmux.run("set-option", "-p", "-t", tmux.window("web1:serial0").id, "@virtmux-key", "what is that")
    assert session.contents().panes == []


async def test_a_follower_that_has_left_is_begun_again_in_its_place(tmux: Tmux) -> None:
    session = Session.make(tmux_server(), "virtmux", ["sh", "-c", "exit 5"], PURPOSE)
    assert session is not None
    await tmux.until(lambda: tmux.windows()[0].dead)
    contents = session.contents()
    assert contents.follower is None
    session.start_follower(SLEEP, contents.dead_follower)
    assert session.contents() == ([], contents.dead_follower, None)


def test_what_tmux_refuses_is_one_line(session: Session) -> None:
    with pytest.raises(click.ClickException, match="tmux select-window: can't find window"):
        run(session.server, "select-window", "-t", "virtmux:77")


def test_a_lock_is_for_one_at_a_time(session: Session) -> None:
    with session.held():
        tried = subprocess.run(["flock", "-n", session.socket_path.rpartition("/")[0], "true"], check=False)
        assert tried.returncode == 1
    subprocess.run(["flock", "-n", session.socket_path.rpartition("/")[0], "true"], check=True)
