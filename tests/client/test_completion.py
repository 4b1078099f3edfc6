"""Completion in real shells: what a person types up to the tab key, and the words that the command gets then."""

import asyncio
import contextlib
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pexpect
import pytest
from msgspec.structs import replace

from tests.harness.command import environment
from tests.harness.scripted_daemon import CONSOLE, ScriptedDaemon, console_info
from virtmux.messages import Console, Done, ListConsoles

SHELLS = {
    "bash": (["--norc", "--noprofile"], ""),
    "zsh": (["-f"], "autoload -U compinit; compinit -u -D; "),
    "fish": (["--no-config"], ""),
}
LOAD = {
    "bash": 'eval "$(virtmux completion bash)"',
    "zsh": 'eval "$(virtmux completion zsh)"',
    "fish": "virtmux completion fish | source",
}
CONSOLES = [("web1", "serial0"), ("my guest", "serial0"), ("a:b", "serial0"), ("x,y", "serial0"), ("it's", "serial0")]
CONSOLES += [("two", "serial0"), ("two", "console1"), ("evil\x1b[31m", "serial0")]
#: Completes as the command does, and otherwise shows the words that it is given.
PROGRAM = """\
#!/bin/sh
if [ "${{_VIRTMUX_COMPLETE+set}}" ] || [ "$1" = completion ]; then
    exec {python} -c 'from virtmux_cli.main import main; main()' "$@"
fi
printf '<%s>' "$@"
echo END
"""


async def serve(daemon: ScriptedDaemon) -> None:
    """Tell everybody the consoles."""
    while True:
        peer = await daemon.accept()
        asked = await peer.expect(ListConsoles)
        infos = [console_info(id=replace(CONSOLE, domain=domain, device=device)) for domain, device in CONSOLES]
        peer.say(*(Console(asked.id, info) for info in infos), Done(asked.id))
        await peer.gone()


class Shell:
    """An interactive shell that completes `virtmux`."""

    def __init__(self, name: str, directory: Path, socket: Path) -> None:
        program = directory / "virtmux"
        program.write_text(PROGRAM.format(python=sys.executable))
        program.chmod(0o700)
        variables = environment(socket)
        variables |= {"PATH": f"{directory}:{variables['PATH']}", "HOME": str(directory), "TERM": "xterm"}
        arguments, before = SHELLS[name]
        self._child = pexpect.spawn(name, arguments, env=variables, timeout=30, dimensions=(24, 300))
        self._child.sendline(f"{before}{LOAD[name]}; echo load''ed")
        self._child.expect_exact("loaded")

    def words(self, typed: str) -> list[str]:
        """What the command gets when this is typed, then tab, then return."""
        self._child.send(f"{typed}\t\r")
        self._child.expect(r"(<.*>)END")
        assert self._child.match is not None
        shown: bytes = self._child.match[1]
        return shown.decode().rpartition("\n")[2].removeprefix("<").removesuffix(">").split("><")

    def close(self) -> None:
        self._child.close(force=True)


@contextlib.asynccontextmanager
async def shell(name: str, directory: Path, daemon: ScriptedDaemon) -> AsyncIterator[Shell]:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    async with daemon, asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve(daemon))
        opened = await asyncio.to_thread(Shell, name, directory, daemon.path)
        try:
            yield opened
        finally:
            await asyncio.to_thread(opened.close)
            serving.cancel()


@pytest.mark.parametrize("name", SHELLS)
async def test_names_are_completed_and_stay_one_word(name: str, tmp_path: Path, daemon: ScriptedDaemon) -> None:
    async with shell(name, tmp_path, daemon) as one:
        for typed, word in (
            ("we", "web1"),
            ("my", "my guest"),
            ("my\\ g", "my guest"),
            ("'my", "my guest"),
            ('"my g', "my guest"),
            ("a", "a:b"),
            ("a:", "a:b"),
            ("x", "x,y"),
            ("x,", "x,y"),
            ("it", "it's"),
            ("two:c", "two:console1"),
            ("web1:", "web1:serial0"),
            ("none", "none"),
            ("evil", "evil"),
        ):
            assert await asyncio.to_thread(one.words, f"virtmux attach {typed}") == ["attach", word], typed


@pytest.mark.parametrize("name", SHELLS)
async def test_commands_and_options_are_completed(name: str, tmp_path: Path, daemon: ScriptedDaemon) -> None:
    async with shell(name, tmp_path, daemon) as one:
        assert await asyncio.to_thread(one.words, "virtmux att") == ["attach"]
        assert await asyncio.to_thread(one.words, "virtmux attach --too-slow le") == ["attach", "--too-slow", "leave"]
        assert await asyncio.to_thread(one.words, "virtmux list --js") == ["list", "--json"]
        # Elsewhere nobody answers.
        elsewhere = f"virtmux --socket {tmp_path}/none attach we"
        assert await asyncio.to_thread(one.words, elsewhere) == ["--socket", f"{tmp_path}/none", "attach", "we"]


async def test_a_daemon_that_says_nothing_is_not_waited_for(tmp_path: Path, daemon: ScriptedDaemon) -> None:
    async def mute(daemon: ScriptedDaemon) -> None:
        await (await daemon.accept(greet=False)).gone()

    variables = {"_VIRTMUX_COMPLETE": "bash_complete", "COMP_LINE": "virtmux attach w", "COMP_WORDBREAKS": ":"}
    async with daemon, asyncio.TaskGroup() as tasks:
        tasks.create_task(mute(daemon))
        command = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from virtmux_cli.main import main; main()",
            env={**environment(daemon.path), **variables},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            assert await command.communicate() == (b"\n", b"")
        assert command.returncode == 0
