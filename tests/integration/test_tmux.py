"""`virtmux tmux` with real guests in a real tmux: what is typed and seen in its windows, and what they are called."""

import asyncio
import os

from tests.harness.daemon import PROGRAMS, Daemon
from tests.harness.follower import PATIENCE, follow
from tests.harness.guest import BANNER, Guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.privilege import wait_for_exit
from tests.harness.terminal import ESCAPE, Terminal, at_terminal
from tests.harness.tmux import SESSION, Tmux
from tests.integration.conftest import StartDaemon, StartGuest

HOSTILE = "a.b:c #(touch ran)#[bg=red]#{host}"
HOSTILE_WINDOW = "a_b_c___touch_ran___bg_red___host_"
READY = BANNER.decode().strip()


async def opened(mux: Daemon, *arguments: str) -> None:
    """`virtmux tmux`, run in the background."""
    status, out, talk = await mux.run_client("tmux", "--no-attach", *arguments)
    assert (status, out) == (0, b""), talk
    assert "`tmux attach -t virtmux`" in talk


def in_window(guest: Guest) -> str:
    """The console's name, as its window has it."""
    return f"{guest.name}:serial0"


async def let_run(tmux: Tmux, guest: Guest) -> None:
    """A guest that is paused is let run, and says in its window that it takes input."""
    window = tmux.window(in_window(guest)).id
    await tmux.until_raw(window)
    await guest.resume()
    await tmux.until_shown(window, READY)


async def until_live(tmux: Tmux, guest: Guest, word: str) -> None:
    """What is typed into the guest's window comes back from the guest."""
    window = tmux.window(in_window(guest)).id
    await tmux.until_raw(window)
    tmux.type(window, word.encode())
    await tmux.until_shown(window, word)


async def test_a_guest_has_a_window_through_all_its_starts_and_ends(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmux: Tmux
) -> None:
    first = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, arguments=["--domain", first.name, "--domain", "new-*"])
    await opened(mux)
    await let_run(tmux, first)
    await until_live(tmux, first, "to the first")

    guest = await boot_guest(libvirtd, state="defined", name=f"new-{first.name}")
    await tmux.until_named(first.name, f"{guest.name} (guest-not-running)")
    window = tmux.window(in_window(guest)).id
    await tmux.until_shown(window, "is not running")
    await guest.start(paused=True)
    await tmux.until_named(first.name, guest.name)
    await let_run(tmux, guest)
    await until_live(tmux, guest, "to the second")

    await guest.destroy()
    await tmux.until_named(first.name, f"{guest.name} (guest-destroyed)")
    await tmux.until_shown(window, f"guest {guest.name} was destroyed (guest-destroyed)")
    await guest.start(paused=True)
    await tmux.until_named(first.name, guest.name)
    await tmux.until_shown(window, "attached again")
    await guest.resume()
    await tmux.until(lambda: tmux.screen(window).count(READY) == 2)
    await until_live(tmux, guest, "second boot")
    assert "second boot" not in tmux.screen(tmux.window(in_window(first)).id)


async def test_a_window_follows_the_name_and_the_definition_of_its_guest(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmux: Tmux
) -> None:
    guest = await boot_guest(libvirtd, state="defined")
    former = guest.name
    mux = await daemon(libvirtd.uri, arguments=["--domain", f"*{former}"])
    await opened(mux, f"*{former}")
    await tmux.until_named(f"{former} (guest-not-running)")
    window = tmux.window(in_window(guest)).id
    await tmux.until_shown(window, "is not running")

    await guest.rename(f"new-{former}")
    await tmux.until_named(f"new-{former} (guest-not-running)")
    await guest.undefine()
    await tmux.until_named(f"new-{former} (guest-undefined)")
    await tmux.until(lambda: tmux.window(in_window(guest)).dead)
    assert "(guest-undefined)" in tmux.screen(window)

    again = await boot_guest(libvirtd, state="paused", name=guest.name)
    assert again.uuid != guest.uuid
    await tmux.until_named(again.name)
    await mux.until_listed(again.name, state="attached")
    await again.resume()
    await tmux.until_shown(window, READY)
    assert tmux.window(in_window(again)).id == window


async def test_a_window_that_was_closed_comes_back_at_a_start_or_when_it_is_asked_for(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmux: Tmux
) -> None:
    closed, kept = await boot_guest(libvirtd, state="paused"), await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri, arguments=["--domain", closed.name, "--domain", kept.name])
    async with follow(mux.socket, closed.name) as watcher:
        await opened(mux)
        await let_run(tmux, closed)
        await until_live(tmux, closed, "hello")
        tmux.type(tmux.window(in_window(closed)).id, ESCAPE)
        await tmux.until_named(kept.name)
        await closed.destroy()
        await kept.destroy()
        await tmux.until_named(f"{kept.name} (guest-destroyed)")
        await watcher.until_ended()
        await closed.start(paused=True)
        await tmux.until_named(f"{kept.name} (guest-destroyed)", closed.name)
    await let_run(tmux, closed)
    await until_live(tmux, closed, "hello again")

    tmux.type(tmux.window(in_window(closed)).id, ESCAPE)
    await tmux.until_named(f"{kept.name} (guest-destroyed)")
    await opened(mux, closed.name)
    await tmux.until_named(f"{kept.name} (guest-destroyed)", closed.name)
    assert tmux.window(in_window(closed)).active


async def test_nothing_of_a_guest_acts_on_tmux_or_on_the_terminal(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmux: Tmux
) -> None:
    guest = await boot_guest(libvirtd, name=HOSTILE, state="paused")
    mux = await daemon(libvirtd.uri, arguments=["--domain", "a.b*"])
    async with follow(mux.socket, guest.name) as watcher, at_terminal(mux.socket, "tmux") as person:
        await person.expect(HOSTILE_WINDOW.encode())
        await tmux.until_named(HOSTILE_WINDOW)
        window = tmux.window(f"{HOSTILE}:serial0").id
        echoed = (
            b"\x1bk#(touch ran)renamed\x1b\\",
            b"\x1b]2;titled#[bg=red]\x07",
            b"\x1bPtmux;\x1b\x1b]52;c;cGFzc2Vk\x07\x1b\\",
            b"\x1b]52;c;Y29waWVk\x07",
            b"the end",
        )
        await let_run(tmux, guest)
        tmux.type(window, b"".join(echoed))
        await watcher.until_output(b"".join(echoed))
        await tmux.until_shown(window, "the end")
        await guest.destroy()
        await tmux.until_named(f"{HOSTILE_WINDOW} (guest-destroyed)")
        tmux.run("detach-client", "-s", SESSION)
        await person.exit()
    for what in (b"renamed", b"titled", b"cGFzc2Vk", b"Y29waWVk"):
        assert what not in person.shown
    assert sorted(path.name for path in tmux.directory.iterdir()) == [f"tmux-{os.geteuid()}"]


async def test_a_guest_neither_sets_nor_reads_what_a_person_copies_whatever_tmux_would_let_it(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmux: Tmux
) -> None:
    (tmux.directory / ".tmux.conf").write_text("set -s set-clipboard on\nset -g allow-passthrough on\n")
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, arguments=["--domain", guest.name])
    copied, asked = b"52;c;Y29waWVk\x07", b"52;c;?\x07"
    echoed = [
        b"\x1b]" + copied,
        b"\x1b]0" + copied,
        b"\x1b]42949673" + copied.replace(b"52;", b"48;", 1),
        b"\x1b\xff]" + copied,
        b"\x1bPtmux;\x1b\x1b]" + copied + b"\x1b\\",
        b"\x1b]" + asked,
        b"the end",
    ]
    async with follow(mux.socket, guest.name) as watcher, at_terminal(mux.socket, "tmux") as person:
        await person.expect(b"Connected to domain")
        tmux.run("set-buffer", "secret")
        await let_run(tmux, guest)
        window = tmux.window(in_window(guest)).id
        tmux.type(window, b"".join(echoed))
        await watcher.until_output(b"".join(echoed))
        await tmux.until_shown(window, "the end")
        assert tmux.run("list-buffers", "-F", "#{buffer_sample}") == ["secret"]
        tmux.type(window, b"!")  # what tmux had answered would come before it
        await watcher.until_output(b"the end!")
        tmux.run("detach-client", "-s", SESSION)
        await person.exit()
        assert b"\x1b]52" not in person.shown


async def test_outside_of_tmux_it_attaches_and_inside_it_switches(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmux: Tmux
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, arguments=["--domain", guest.name])
    async with at_terminal(mux.socket, "tmux") as person:
        await person.expect(b"Connected to domain")
        await let_run(tmux, guest)
        person.send(b"typed outside")
        await tmux.until_shown(tmux.window(in_window(guest)).id, "typed outside")
        tmux.run("detach-client", "-s", SESSION)
        assert (await person.exit())[0] == 0

    async with Terminal("tmux", ["new-session", "-s", "mine", "sh"]) as person:
        await person.expect(b"[mine]")
        assert tmux.run("list-clients", "-F", "#{session_name}") == ["mine"]
        person.send(f"{PROGRAMS}/virtmux --socket {mux.socket} tmux && tmux wait-for -S switched\r".encode())
        tmux.run("wait-for", "switched")
        assert tmux.run("list-clients", "-F", "#{session_name}") == [SESSION]
        person.send(b"typed inside")
        await tmux.until_shown(tmux.window(in_window(guest)).id, "typed inside")
        assert tmux.names() == [guest.name]


async def test_inside_another_tmux_it_does_not_nest(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmux: Tmux
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri, arguments=["--domain", guest.name])
    async with Terminal("tmux", ["new-session", "-s", "mine", "sh"]) as person:
        await person.expect(b"[mine]")
        person.send(f"{PROGRAMS}/virtmux --socket {mux.socket} tmux -L other; tmux wait-for -S done\r".encode())
        tmux.run("wait-for", "done")
        assert "this terminal is in another tmux" in tmux.screen("mine:").replace("\n", "")
        assert tmux.run("-L", "other", "list-sessions", "-F", "#{session_name}") == [SESSION]


async def test_one_follower_keeps_a_session_in_step_over_restarts_and_ends_with_it(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmux: Tmux
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, arguments=["--domain", guest.name, "--domain", "new-*"])
    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(opened(mux))
    assert [window.name for window in tmux.windows()] == ["virtmux", guest.name]
    await let_run(tmux, guest)
    await until_live(tmux, guest, "before")
    await tmux.until_shown(f"{SESSION}:virtmux", "leave it open")

    await mux.kill()
    await tmux.until_shown(f"{SESSION}:virtmux", "connecting again")
    other = await boot_guest(libvirtd, name=f"new-{guest.name}")
    await mux.start()
    await tmux.until_named(guest.name, other.name)
    await tmux.until_shown(tmux.window(in_window(guest)).id, "attached again")
    await until_live(tmux, guest, "after")
    await tmux.until_shown(tmux.window(in_window(other)).id, "Connected to domain")
    await other.destroy()
    await tmux.until_named(guest.name, f"{other.name} (guest-destroyed)")

    pids = [int(pid) for pid in tmux.run("list-panes", "-s", "-t", SESSION, "-F", "#{pane_pid}")]
    assert len(pids) == 3
    tmux.run("kill-session", "-t", SESSION)
    for pid in pids:
        assert await asyncio.to_thread(wait_for_exit, pid, PATIENCE)


async def test_a_follower_that_was_closed_is_begun_again_by_whoever_joins(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmux: Tmux
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri, arguments=["--domain", guest.name])
    tmux.run("new-session", "-d", "-s", SESSION, "-n", "mine", "sleep", "1000")
    await opened(mux)
    assert [window.name for window in tmux.windows()] == ["mine", guest.name, "virtmux"]
    tmux.run("kill-window", "-t", f"{SESSION}:virtmux")
    await opened(mux)
    await tmux.until_shown(f"{SESSION}:virtmux", "leave it open")
    await tmux.until_shown(tmux.window(in_window(guest)).id, "Connected to domain")
    await guest.destroy()
    await tmux.until_named(f"{guest.name} (guest-destroyed)")


async def test_a_session_is_for_one_daemon_and_widened_by_globs(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmux: Tmux
) -> None:
    one, two, three = [await boot_guest(libvirtd) for _ in range(3)]
    mux = await daemon(libvirtd.uri, arguments=[f"--domain={guest.name}" for guest in (one, two, three)])
    await opened(mux, one.name)
    assert tmux.names() == [one.name]
    await opened(mux, f"{two.name}:serial?")
    assert tmux.names() == [one.name, two.name]
    await opened(mux)
    assert sorted(tmux.names()) == sorted(guest.name for guest in (one, two, three))

    other = await daemon(libvirtd.uri, arguments=["--domain", one.name])
    status, _, talk = await other.run_client("tmux", "--no-attach")
    assert (status, talk.count("\n")) == (1, 1)
    assert str(mux.socket) in talk
    assert "--session" in talk
