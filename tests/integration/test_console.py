"""`virtmux console` beside `virsh console`: what a terminal shows of either, and what they end with, is the same."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.harness.beside_virsh import VIRSH, VIRTMUX, Act, leave, own_words, power_off, shown, type_something
from tests.harness.daemon import Daemon
from tests.harness.guest import BANNER, Guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.terminal import ESCAPE, Terminal
from tests.harness.virsh_console import virsh_console
from tests.integration.conftest import StartDaemon, StartGuest, State


async def both(mux: Daemon, guest: Guest, arguments: Sequence[str], act: Act | None = None) -> list[tuple[int, bytes]]:
    """What virsh says, and what virtmux says, with the same guest in the same state; and what they end with."""
    uri = guest.libvirtd.uri
    programs = [(VIRSH, ["-c", uri, *arguments]), (VIRTMUX, ["--socket", str(mux.socket), "-c", uri, *arguments])]
    outcomes = [await shown(program, line, act, guest) for program, line in programs]
    return [(status, own_words(said)) for status, said in outcomes]


async def leave_by_t(terminal: Terminal, _guest: Guest) -> None:
    await type_something(terminal)
    terminal.send(b"\x14")


async def destroy(terminal: Terminal, guest: Guest) -> None:
    """The guest ends, and is there again for the next."""
    await type_something(terminal)
    await guest.destroy()
    await guest.start()


@pytest.fixture
async def settled(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, letting_go: list[str]
) -> tuple[Guest, Daemon]:
    """A guest that runs and has said what it says by itself, and a daemon that holds its console for no longer than
    somebody is there."""
    guest = await boot_guest(libvirtd)
    return guest, await daemon(libvirtd.uri, arguments=letting_go)


@pytest.mark.parametrize(
    ("options", "act"),
    [
        ([], leave),
        (["--safe"], leave),
        (["--devname", "serial0"], leave),
        (["serial0"], leave),
        (["--force"], leave),
        ([], destroy),
        ([], power_off),
        (["--devname", "nodev"], None),
        (["nodev"], None),
        ([""], None),
        (["serial0", "more"], None),
        (["--bogus"], None),
    ],
    ids=[
        "leave",
        "safe",
        "devname",
        "a device without its option",
        "force",
        "destroyed",
        "powered off",
        "no such device",
        "no such device without its option",
        "an empty device",
        "a word too many",
        "no such option",
    ],
)
async def test_at_a_guest_that_runs(settled: tuple[Guest, Daemon], options: list[str], act: Act | None) -> None:
    guest, mux = settled
    virsh, virtmux = await both(mux, guest, ["console", guest.name, *options], act)
    assert virtmux == virsh


async def test_an_older_libvirts_name_of_the_first_is_known(settled: tuple[Guest, Daemon]) -> None:
    guest, mux = settled
    virsh, _ = await both(mux, guest, ["console", guest.name, "serial0"], leave)
    line = ["--socket", str(mux.socket), "console", guest.name, "console0"]
    status, said = await shown(VIRTMUX, line, leave, guest)
    assert (status, own_words(said)) == virsh


@pytest.mark.parametrize(("escape", "act"), [("^t", leave_by_t), ("^]", leave), ("xyz", None)])
async def test_with_another_escape_key(settled: tuple[Guest, Daemon], escape: str, act: Act | None) -> None:
    guest, mux = settled
    virsh, virtmux = await both(mux, guest, ["-e", escape, "console", guest.name], act)
    assert virtmux == virsh


@pytest.mark.parametrize("name", ["{name}", "no-such-guest", "11111111-1111-4111-8111-111111111111", ""])
async def test_where_there_is_nothing_to_connect_to(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, name: str
) -> None:
    guest = await boot_guest(libvirtd, state="defined")
    mux = await daemon(libvirtd.uri)
    virsh, virtmux = await both(mux, guest, ["console", name.format(name=guest.name)])
    assert virtmux == virsh
    assert virsh[0] == 1


async def test_without_a_domain(libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon) -> None:
    guest = await boot_guest(libvirtd, state="defined")
    mux = await daemon(libvirtd.uri)
    virsh, virtmux = await both(mux, guest, ["console"])
    assert virtmux == virsh == (1, b"error: command 'console' requires <domain> option\r\n")


@pytest.mark.parametrize("state", ["defined", "running"])
async def test_without_a_terminal(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, state: State
) -> None:
    guest = await boot_guest(libvirtd, state=state)
    mux = await daemon(libvirtd.uri)
    outcomes = []
    for program, extra in ((VIRSH, ["-c", libvirtd.uri]), (VIRTMUX, ["--socket", str(mux.socket)])):
        process = await asyncio.create_subprocess_exec(
            program, *extra, "console", guest.name,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        outcomes.append((*await process.communicate(), process.returncode))
    assert outcomes[0] == outcomes[1]


async def test_somebody_else_has_it_and_force_takes_it(settled: tuple[Guest, Daemon]) -> None:
    guest, mux = settled
    async with virsh_console(guest) as holder:
        holder.send(b"mine")
        await holder.expect(b"mine")
        virsh, virtmux = await both(mux, guest, ["console", guest.name])
        assert virtmux == virsh
        assert virsh[1].endswith(b"error: operation failed: Active console session exists for this domain\r\n\r\n")

        arguments = ["--socket", str(mux.socket), "console", guest.name, "--force"]
        async with Terminal(VIRTMUX, arguments) as taker:
            await taker.expect(b"Escape character")
            taker.send(b"ours")
            await taker.expect(b"ours")
            assert (await holder.exit())[0] == 1
            async with virsh_console(guest, "--force") as again:
                again.send(b"back")
                await again.expect(b"back")
                assert await taker.exit() == (1, b"error: stream had I/O failure\r\n\r\n")


async def test_a_paused_guest_is_resumed_once_connected(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    arguments = ["--socket", str(mux.socket), "console", "--resume", guest.name]
    async with Terminal(VIRTMUX, arguments) as person:
        await person.expect(b"Escape character is ^] (Ctrl + ])\r\n")
        assert await person.expect(BANNER) == b"", "from its first byte, and nothing of ours"
        person.send(ESCAPE)
        assert await person.exit() == (0, b"\r\n")


async def test_quiet_says_nothing(libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    arguments = ["--socket", str(mux.socket), "-q", "console", "--resume", guest.name]
    async with Terminal(VIRTMUX, arguments) as person:
        assert await person.expect(BANNER) == b""
        person.send(ESCAPE)
        assert await person.exit() == (0, b"")


async def test_where_no_daemon_answers_and_where_it_does_not_serve_that_hypervisor(
    libvirtd: Libvirtd, daemon: StartDaemon, tmp_path: Path
) -> None:
    mux = await daemon(libvirtd.uri)
    for socket, uri in ((tmp_path / "none.sock", libvirtd.uri), (mux.socket, "qemu:///other")):
        async with Terminal(VIRTMUX, ["--socket", str(socket), "-c", uri, "console", "web1"]) as person:
            status, said = await person.exit()
        assert status == 1
        assert said.startswith(b"error: failed to connect to the hypervisor\r\nerror: ")
        assert len(said.splitlines()) == 2
