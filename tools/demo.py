"""`make demo`: a real guest, a virtmuxd of its own, and its console.

On a terminal the person sits at the guest's shell. Without one it prints a transcript, and its exit status is 0 only
if all of it happened: two clients see the same bytes, one of them types, the guest is destroyed, both are told why.
Everything it starts is ended and everything it writes is removed, whatever happens.
"""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

sys.path.insert(0, str(Path(__file__).parents[1]))

import virtmux
from tests.harness.daemon import PROGRAMS, Daemon
from tests.harness.domain_xml import GUESTS, linux_xml
from tests.harness.libvirtd import Libvirtd
from virtmux_cli.text import reason_text

PROMPT = b"virtmux-guest# "
COMMAND = b'echo "the answer is $((6 * 7))"'
ANSWER = b"the answer is 42\r\n" + PROMPT
# busybox's shell asks a terminal, with each prompt, where its cursor is.
ASKS_FOR_CURSOR = b"\x1b[6n"
GUEST_DESTROYED = (10, ["guest-destroyed"])
ATTACH_DEADLINE_S = 30.0
DEADLINE_S = 120.0


def say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)


def virsh(uri: str, *arguments: str | Path, quiet: bool = False) -> bool:
    """Whether the command succeeded; why not, virsh says on stderr, unless `quiet`."""
    command = ["virsh", "--quiet", "--connect", uri, *map(str, arguments)]
    errors = subprocess.DEVNULL if quiet else None
    # In a session of its own: on a terminal virsh would start polkit's agent there.
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,
    )
    return done.returncode == 0


@contextlib.contextmanager
def hypervisor() -> Iterator[str]:
    """The URI of a libvirt that answers: the machine's, or one that lives as long as the demo."""
    if os.geteuid() != 0:
        say("libvirt   qemu:///session, which libvirt starts by itself")
        yield "qemu:///session"
    elif virsh("qemu:///system", "uri", quiet=True):
        say("libvirt   qemu:///system, which runs here")
        yield "qemu:///system"
    else:
        with Libvirtd() as libvirtd:
            say("libvirt   none runs here, so this is a libvirtd of the demo's own")
            yield libvirtd.uri


@contextlib.contextmanager
def guest(uri: str, name: str) -> Iterator[None]:
    """A transient domain, paused before its first instruction."""
    # Where QEMU's own user may read: a home directory often is not such a place.
    with tempfile.TemporaryDirectory(prefix="virtmux-demo-", dir="/var/tmp") as temporary:
        directory = Path(temporary)
        directory.chmod(0o755)
        for file in ("vmlinuz", "initramfs.cpio"):
            shutil.copyfile(GUESTS / file, directory / file)
        (directory / "domain.xml").write_text(linux_xml(name, uuid.uuid4(), directory=directory))
        if not virsh(uri, "create", "--paused", directory / "domain.xml"):
            raise SystemExit("virtmux demo: libvirt could not start the guest")
        try:
            yield
        finally:
            if virsh(uri, "domid", name, quiet=True):
                virsh(uri, "destroy", name)


class Held(NamedTuple):
    """A running guest whose console a virtmuxd has held since its first byte, at position `beginning`."""

    uri: str
    daemon: Daemon
    beginning: str


async def attached(daemon: Daemon) -> virtmux.Position:
    """Waits until the daemon, which knows the guest's console alone, holds it. Gives the end of its records."""
    last_end: virtmux.Reason | None = None
    try:
        async with (
            asyncio.timeout(ATTACH_DEADLINE_S),
            virtmux.connect(daemon.socket) as mux,
            contextlib.aclosing(mux.events()) as events,
        ):
            async for _ in events:
                for info in await mux.consoles():
                    if info.state is virtmux.State.ATTACHED:
                        return virtmux.Position.parse(info.position)
                    last_end = info.last_end
    except TimeoutError:
        if last_end is None:
            raise
        raise SystemExit(f"virtmux demo: {reason_text(last_end)}") from None
    raise AssertionError("events end with an error only")


@contextlib.asynccontextmanager
async def held_guest(name: str) -> AsyncIterator[Held]:
    """A guest and its daemon, both ended afterwards."""
    async with contextlib.AsyncExitStack() as stack:
        uri = stack.enter_context(hypervisor())
        daemon = Daemon([uri], attach="always", arguments=["--domain", name])
        stack.push_async_callback(daemon.close)
        begun = time.monotonic()
        await daemon.start()
        say(f"daemon    virtmuxd, ready after {time.monotonic() - begun:.1f} s; it touches the demo's guest alone")
        stack.enter_context(guest(uri, name))
        position = await attached(daemon)
        if not virsh(uri, "resume", name):
            raise SystemExit("virtmux demo: libvirt could not resume the guest")
        say(f"guest     {name}: Linux in 128 MiB, emulated by QEMU without KVM; it boots now", "")
        yield Held(uri, daemon, str(position))


class Client:
    """One `virtmux attach`, with pipes where a person has a terminal."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.name = name
        self.output = b""
        self.seen = 0
        self._process = process
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr

    async def see(self, text: bytes) -> None:
        """Reads until the guest has said `text`, after what was seen before."""
        while text not in self.output[self.seen :]:
            data = await self._stdout.read(65536)
            if not data:
                raise SystemExit(f"virtmux demo: {self.name}'s console ended too soon: {(await self.end())[1]}")
            self.output += data
        self.seen = self.output.index(text, self.seen) + len(text)

    async def type(self, line: bytes) -> None:
        self._stdin.write(line + b"\r")
        await self._stdin.drain()

    async def end(self) -> tuple[int, str]:
        """The exit status and what it said on stderr."""
        rest, said = await asyncio.gather(self._stdout.read(), self._stderr.read())
        self.output += rest
        return await self._process.wait(), said.decode()


@contextlib.asynccontextmanager
async def client(name: str, held: Held, domain: str) -> AsyncIterator[Client]:
    process = await held.daemon.client("attach", domain, "--from", held.beginning, "--json")
    try:
        yield Client(name, process)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def transcript(domain: str) -> int:
    """Two clients, one guest, one reason."""
    async with (
        asyncio.timeout(DEADLINE_S),
        held_guest(domain) as held,
        client("alice", held, domain) as alice,
        client("bob", held, domain) as bob,
    ):
        for one in (alice, bob):
            await one.see(PROMPT)
        say(f"alice and bob run `virtmux attach {domain}`; both have seen the guest boot, from its first byte.")
        begin = alice.seen - len(PROMPT)
        await alice.type(COMMAND)
        for one in (alice, bob):
            await one.see(ANSWER)
        say(f"Now alice types: {COMMAND.decode()}", "")
        for one in (alice, bob):
            shown = one.output[begin : one.seen].replace(ASKS_FOR_CURSOR, b"").decode()
            say(*(f"{one.name:>7} | {line}" for line in shown.splitlines()))
        say("", f"Somebody runs `virsh destroy {domain}`:", "")
        virsh(held.uri, "destroy", domain)
        ends = []
        for one in (alice, bob):
            status, said = await one.end()
            # Only an end has a cause; the other lines tell of resume and the like.
            reasons = [line for line in said.splitlines() if "cause" in json.loads(line)]
            say(*(f"{one.name:>7} | {line}" for line in reasons), f"{one.name:>7} | exit status {status}")
            ends.append((status, reasons))
        same = alice.output == bob.output
        status, reasons = ends[0]
        told = ends[0] == ends[1] and (status, [json.loads(line)["cause"] for line in reasons]) == GUEST_DESTROYED
        say("", f"The same {len(alice.output)} bytes for both: {'yes' if same else 'NO'}.")
        say(f"The same true reason for both: {'yes' if told else 'NO'}.")
        return 0 if same and told else 1


async def session(domain: str) -> int:
    """A person at the guest's shell."""
    async with held_guest(domain) as held:
        say("Type `poweroff` to end the guest and see the reason; ^] (Ctrl and ]) leaves it running.")
        say("The demo ends with this console, and its guest with the demo.", "")
        process = await asyncio.create_subprocess_exec(
            PROGRAMS / "virtmux", "--socket", held.daemon.socket, "attach", domain, "--from", held.beginning
        )
        try:
            status = await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
        say("", f"`virtmux attach` has ended with exit status {status}. Your own guests: see README.md.")
    return 0


def main() -> int:
    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    domain = f"virtmux-demo-{secrets.token_hex(2)}"
    demo = session if sys.stdin.isatty() and sys.stdout.isatty() else transcript
    try:
        return asyncio.run(demo(domain))
    except KeyboardInterrupt:
        return 130
    except TimeoutError:
        say("virtmux demo: given up: this takes too long")
        return 1


if __name__ == "__main__":
    sys.exit(main())
