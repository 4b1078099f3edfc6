"""`virtmux attach` before a real guest: the terminal given back, a large paste, a clean pipe."""

import asyncio
from pathlib import Path

from tests.harness.daemon import PROGRAMS
from tests.harness.follower import boot, follow
from tests.harness.guest import BANNER, PROMPT
from tests.harness.libvirtd import Libvirtd
from tests.harness.shell import EVERYTHING, differences, shell
from tests.harness.shell import PROMPT as SHELL_PROMPT
from tests.harness.terminal import ESCAPE, at_terminal
from tests.integration.conftest import StartDaemon, StartGuest

#: Lines that differ, 100 KiB of them. The guest echoes some 6 KB a second: each byte is an interrupt.
PASTE = b"".join(b"paste %09d\r" % number for number in range(6400))
ECHOED_WITHIN = 120.0
#: What the shell of the Linux guest says behind its prompt: where is the cursor?
ASKS_WHERE = b"\x1b[6n"


async def test_whatever_a_guest_does_to_the_terminal_leaving_gives_it_back(
    libvirtd: Libvirtd, linux: StartGuest, daemon: StartDaemon
) -> None:
    guest = await linux(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    # In octal, so that the echo of the command switches nothing on.
    everything = "".join(f"\\{byte:03o}" for byte in EVERYTHING)
    async with follow(mux.socket, guest.name) as watcher, shell(mux.socket) as person:
        await boot(guest, watcher)
        for start in range(0, len(everything), 400):
            await watcher.write(f'e="$e{everything[start : start + 400]}"\n'.encode())
        before, mode = person.screen.facts, person.mode
        await person.attach("--replay", "none", name=guest.name)
        person.child.send(b"printf \"$e\"; echo .rea''dy.\n")
        await person.until(b".ready.")
        assert len(differences(before, person.screen.facts)) >= 12
        await person.detach()
        await person.until(SHELL_PROMPT)
        assert (differences(before, person.screen.facts), person.mode) == ({}, mode)
        assert person.screen.lines[-2:] == ["virtmux: detached", SHELL_PROMPT.decode().rstrip()]


async def test_a_line_of_its_own_leaves_the_prompt_of_the_guest_as_it_was(
    libvirtd: Libvirtd, linux: StartGuest, daemon: StartDaemon
) -> None:
    guest = await linux(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    async with follow(mux.socket, guest.name) as first:
        await boot(guest, first)
    async with shell(mux.socket) as person:
        await person.attach(name=guest.name)
        await person.until(PROMPT)
        person.child.send(b"echo unfini")
        await person.until(b"unfini")
        line = person.screen.lines[-1]
        assert line == "virtmux-guest# echo unfini"
        async with follow(mux.socket, guest.name):
            await person.until(b"attached too and may type\r\n")
            await person.until(b"unfini")
            assert person.screen.lines[-1] == line
            assert person.screen.cursor[1] == len(line)
            assert person.screen.lines[-3] == line
        await person.until(b" left\r\n")
        await person.until(b"unfini")
        person.child.send(b"shed\r")
        await person.until(b"unfinished\r\n")
        await person.until(PROMPT)
        await person.detach()


async def test_a_paste_of_100_kib_loses_nothing(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    async with (
        follow(mux.socket, guest.name) as watcher,
        at_terminal(mux.socket, "attach", guest.name, seconds=120) as person,
    ):
        await guest.resume()
        await watcher.until_output(BANNER)
        await person.expect(b"attached too and may type\r\n")
        async with asyncio.timeout(ECHOED_WITHIN):
            echo, _ = await asyncio.gather(person.expect(PASTE[-16:]), asyncio.to_thread(person.send_all, PASTE))
            await watcher.until(lambda one: len(one.output) >= len(BANNER) + len(PASTE))
        assert len(PASTE) >= 100 * 1024
        assert watcher.output == BANNER + PASTE
        assert echo.endswith(PASTE[:-16])
        person.send(ESCAPE)
        assert (await person.exit())[0] == 0


async def test_without_a_terminal_it_is_a_clean_pipe(
    libvirtd: Libvirtd, linux: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    guest = await linux(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    script, out = tmp_path / "script", tmp_path / "out"
    script.write_bytes(b"printf '\\033[?1049h\\377\\n'\necho done | tr a-z A-Z\n")
    async with follow(mux.socket, guest.name) as watcher:
        await boot(guest, watcher, says=PROMPT + ASKS_WHERE)
        at = watcher.console.position.offset
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", '"$0" --socket "$1" attach --linger 2 "$2" < "$3" > "$4"',
            PROGRAMS / "virtmux", mux.socket, guest.name, script, out,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(30):
            _, talk = await process.communicate()
        assert (process.returncode, talk) == (0, b"virtmux: detached\n")
        await watcher.until_output(b"DONE\r\n" + PROMPT + ASKS_WHERE)
        assert out.read_bytes() == watcher.output[at - watcher.offsets[0][0] :]
        assert b"\x1b[?1049h\xff\r\n" in out.read_bytes()
