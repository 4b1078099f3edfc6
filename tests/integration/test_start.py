"""`virtmux start`: with `--attach` not a byte of what a guest says is missed."""

from tests.harness.counts import count
from tests.harness.guest import BANNER, POWER_OFF
from tests.harness.libvirtd import Libvirtd
from tests.harness.terminal import ESCAPE, at_terminal
from tests.integration.conftest import StartDaemon, StartGuest

STARTS = count(8, 200)


async def test_the_first_byte_is_there_each_time(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="defined")
    mux = await daemon(libvirtd.uri)
    for _ in range(STARTS):
        process = await mux.client("start", guest.name, "--attach")
        assert process.stdout is not None
        assert await process.stdout.readexactly(len(BANNER)) == BANNER
        output, talk = await process.communicate(POWER_OFF)
        assert (process.returncode, output) == (10, b""), talk.decode()
        assert b"missing" not in talk


async def test_on_a_terminal_one_sits_at_the_guest_from_its_first_byte(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="defined")
    mux = await daemon(libvirtd.uri)
    async with at_terminal(mux.socket, "start", guest.name, "--attach") as person:
        await person.expect(f"Connected to domain '{guest.name}'\r\nEscape character is ^] (Ctrl + ])\r\n".encode())
        before = await person.expect(BANNER)
        assert all(line.startswith(b"virtmux: guest resumed") for line in before.splitlines()), before
        person.send(ESCAPE)
        assert (await person.exit())[0] == 0
    assert "running" in await guest.state()


async def test_a_guest_that_is_to_stay_paused_does(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="defined")
    mux = await daemon(libvirtd.uri)
    assert await mux.run_client("start", guest.name, "--paused") == (0, b"", "")
    assert "paused" in await guest.state()
    await guest.destroy()
    async with at_terminal(mux.socket, "start", guest.name, "--paused", "--attach") as person:
        await person.expect(b"Escape character")
        assert "paused" in await guest.state()
        await guest.resume()
        await person.expect(BANNER)


async def test_a_plain_start_and_one_of_a_guest_that_runs(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="defined")
    mux = await daemon(libvirtd.uri)
    assert await mux.run_client("start", guest.name) == (0, b"", "")
    assert "running" in await guest.state()
    for arguments in ([], ["--attach"]):
        status, output, talk = await mux.run_client("start", guest.name, *arguments)
        assert (status, output, len(talk.splitlines())) == (1, b"", 1)
        assert "(action-failed)" in talk
        assert "domain is already running" in talk


async def test_a_guest_whose_console_is_released_is_not_started_to_be_attached_to(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="defined")
    mux = await daemon(libvirtd.uri)
    assert (await mux.run_client("release", guest.name))[0] == 0
    status, _, talk = await mux.run_client("start", guest.name, "--attach")
    assert status == 8
    assert "virtmux reclaim" in talk
    assert "shut off" in await guest.state()


async def test_keys_an_nmi_and_who_is_there_are_for_the_command_too(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    assert await mux.run_client("key", guest.name, "alt-sysrq-b", "f2", "--hold", "20") == (0, b"", "")
    assert await mux.run_client("nmi", f"{guest.name}:serial0") == (0, b"", "")
    async with at_terminal(mux.socket, "attach", guest.name) as person:
        await person.expect(b"Escape character")
        status, output, _ = await mux.run_client("who", guest.name)
        heading, row = output.decode().splitlines()
        assert (status, heading.split()[:3]) == (0, ["CLIENT", "USER", "PID"])
        assert f"{guest.name}:serial0 (writer)" in row
        number, _, pid, *_ = row.split()
        assert int(pid) == person.child.pid
        assert await mux.run_client("kick", number) == (0, b"", "")
        status, last_words = await person.exit()
    assert status == 12
    assert b" sent this client away (evicted)" in last_words
