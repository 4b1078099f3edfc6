"""`virtmux` as people run it, against real guests: on a terminal, in a pipe, in scripts."""

import asyncio
import json
from pathlib import Path

from tests.harness.command import running
from tests.harness.follower import PATIENCE, follow
from tests.harness.guest import BANNER, POWER_OFF
from tests.harness.libvirtd import Libvirtd
from tests.harness.terminal import ESCAPE, at_terminal
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import CAUSES, Cause


async def test_on_a_terminal_one_sits_at_the_guest_and_leaves_by_the_escape(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    async with at_terminal(mux.socket, "attach", guest.name) as person:
        await person.expect(f"Connected to domain '{guest.name}'\r\n".encode())
        await person.expect(b"Escape character is ^] (Ctrl + ])\r\n")
        await guest.resume()
        await person.expect(BANNER)
        person.send(b"typed")
        await person.expect(b"typed")
        person.send(ESCAPE)
        status, _ = await person.exit()
    assert status == 0
    assert "running" in await guest.state()


async def test_on_a_terminal_the_end_of_the_guest_is_one_line_and_its_status(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    async with at_terminal(mux.socket, "attach", guest.name) as person:
        await person.expect(b"Escape character")
        await guest.resume()
        await person.expect(BANNER)
        person.send(POWER_OFF)
        await person.expect(f"guest {guest.name} shut down (guest-shutdown)".encode())
        status, _ = await person.exit()
    assert status == CAUSES[Cause.GUEST_SHUTDOWN].exit_status == 10


async def test_in_a_pipe_stdout_is_the_guest_and_stderr_the_reason(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always")
    async with follow(mux.socket, guest.name) as watcher:
        await guest.resume()
        await watcher.until_output(BANNER)
        async with running(mux.socket, "attach", guest.name, "--json") as command:
            command.type(b"from a pipe")
            assert await command.read(11) == b"from a pipe"
            command.type(POWER_OFF)  # not before: what a guest says just before its end, its PTY may lose
            status, output, talk = await command.finish()
    assert (status, output) == (10, b"")
    reason = json.loads(talk.splitlines()[-1])
    assert reason["cause"] == "guest-shutdown"
    assert reason["event"] == {"name": "STOPPED", "detail": "SHUTDOWN"}
    assert reason["console"]["domain"] == guest.name


async def test_after_the_end_of_a_piped_stdin_linger_leaves_in_silence(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    async with follow(mux.socket, guest.name) as watcher:
        await guest.resume()
        await watcher.until_output(BANNER)
        status, output, _ = await mux.run_client("attach", guest.name, "--linger", "3", stdin=b"hello")
    assert (status, output) == (0, b"hello")


async def test_a_guest_that_is_off_is_told_at_once_and_waited_for_on_request(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="defined")
    mux = await daemon(libvirtd.uri)
    status, output, talk = await mux.run_client("attach", guest.name)
    assert (status, output) == (9, b"")
    assert "is not running" in talk
    status, _, talk = await mux.run_client("attach", guest.name, "--wait=0.2")
    assert status == 7

    async with at_terminal(mux.socket, "attach", guest.name, "--wait") as person:
        await person.expect(b"is not running")
        await guest.start()
        await person.expect(b"Connected to domain")
        person.send(ESCAPE)
        assert (await person.exit())[0] == 0


async def test_stay_rides_out_the_end_and_the_next_start(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    async with at_terminal(mux.socket, "attach", guest.name, "--stay") as person:
        await person.expect(b"Escape character")
        await guest.destroy()
        await person.expect(b"was destroyed (guest-destroyed)")
        await guest.start(paused=True)
        await person.expect(b"attached again")
        await guest.resume()
        await person.expect(BANNER)
        person.send(b"second boot")
        await person.expect(b"second boot")
        person.send(ESCAPE)
        assert (await person.exit())[0] == 0


async def test_a_lost_hypervisor_is_ridden_out_but_not_with_once(
    own_libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(own_libvirtd)
    mux = await daemon(own_libvirtd.uri)
    async with (
        at_terminal(mux.socket, "attach", guest.name) as patient,
        at_terminal(mux.socket, "attach", guest.name, "--once") as hasty,
    ):
        for person in (patient, hasty):
            await person.expect(b"Escape character")
        own_libvirtd.kill()
        await hasty.expect(b"(hypervisor-lost)")
        assert (await hasty.exit())[0] == 6
        await patient.expect(b"(hypervisor-lost)")
        own_libvirtd.start()
        await patient.expect(b"attached again")
        patient.send(b"still here")
        await patient.expect(b"still here")
        patient.send(ESCAPE)
        assert (await patient.exit())[0] == 0


async def test_what_is_not_there_is_one_line_and_a_status(
    libvirtd: Libvirtd, daemon: StartDaemon, tmp_path: Path
) -> None:
    mux = await daemon(libvirtd.uri)
    status, _, talk = await mux.run_client("attach", "no-such-guest")
    assert (status, len(talk.splitlines())) == (3, 1)
    assert "no-such-guest" in talk
    await mux.stop()
    for command in (["list"], ["events"], ["attach", "any"]):
        status, _, talk = await mux.run_client(*command)
        assert (status, len(talk.splitlines())) == (5, 1)
        assert str(mux.socket) in talk
    await mux.start()


async def test_events_are_json_lines_from_what_exists_to_what_happens(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    async with follow(mux.socket, guest.name) as client:
        await guest.resume()
        await client.until_output(BANNER)
        events = await mux.client("events", "--json")
        assert events.stdout is not None

        async def until(kind: str) -> dict[str, object]:
            while True:
                assert events.stdout is not None
                event: dict[str, object] = json.loads(await events.stdout.readline())
                console = event["console"]
                assert isinstance(console, dict)
                if (event["event"], console["domain"]) == (kind, guest.name):
                    return event

        async with asyncio.timeout(PATIENCE):
            appeared = await until("appeared")
            assert (appeared["mark"], appeared["offset"], appeared["reason"]) == (None, len(BANNER), None)
            await guest.destroy()
            ended = await until("ended")
            assert list(ended) == ["event", "at", "console", "offset", "mark", "reason"]
            assert isinstance(ended["reason"], dict)
            assert ended["reason"]["cause"] == "guest-destroyed"
            waiting = await until("waiting")
            assert isinstance(waiting["reason"], dict)
            assert waiting["reason"]["cause"] == "guest-not-running"
            await guest.start()
            gap = await until("break")
            assert {"from", "to"} < set(gap)
            attached = await until("attached")
            assert isinstance(attached["console"], dict)
            assert attached["console"]["incarnation"] == 2
            await guest.reset()
            assert (await until("note"))["note"] == "rebooted"
            events.terminate()
            await events.wait()


async def test_list_shows_every_console_with_its_last_end(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    async with follow(mux.socket, guest.name) as client:
        row = next(each for each in await mux.consoles() if each["id"]["domain"] == guest.name)
        assert (row["state"], row["clients"], row["running"]) == ("attached", 1, True)
        await guest.destroy()
        await client.until_ended()
    row = next(each for each in await mux.consoles() if each["id"]["domain"] == guest.name)
    assert (row["clients"], row["running"]) == (0, False)
    assert row["last_end"]["cause"] == "guest-destroyed"
