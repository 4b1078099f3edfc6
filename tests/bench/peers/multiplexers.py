"""Programs that bring a console to many clients, each started for some consoles and asked in the same way."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.bench.cpu import family
from tests.bench.peers.packages import LIBRARIES, NotToBeHadError, environment, program
from tests.harness.daemon import Daemon

#: Seconds for one to start.
START_S = 30.0
#: How much virtmux holds ready for clients, in bytes.
RING = 32 << 20

CONSERVER = """\
config * {{ }}
access * {{ trusted 127.0.0.1; }}
"""
CONSERVER_CONSOLE = """\
console {name} {{
    master localhost;
    rw *;
    type exec;
    exec virsh --connect {uri} console {domain} {device};
}}
"""

CONMAN = """\
SERVER port={port}
SERVER loopback=ON
SERVER keepalive=OFF
SERVER pidfile="{directory}/pid"
SERVER logfile="{directory}/conman.log"
"""
CONMAN_CONSOLE = """\
CONSOLE name="{domain}" dev="{script}"
"""
CONMAN_SCRIPT = """\
#!/bin/sh
export LD_LIBRARY_PATH={libraries}
exec {socat} - 'EXEC:"virsh --connect {uri} console {domain}",pty,setsid,ctty,raw,echo=0'
"""


class Subject(NamedTuple):
    """A multiplexer that runs: how its clients speak, where a domain's console is found, and the pids of all its
    processes."""

    protocol: str
    address: Callable[[str], tuple[str, ...]]
    pids: Callable[[], list[int]]


Starter = Callable[[str, Sequence[str], Path], AbstractAsyncContextManager[Subject]]
"""Starts a multiplexer for the consoles of domains: URI, the domains' names, a directory for its files."""


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@asynccontextmanager
async def _running(
    command: Sequence[object], directory: Path, at: int | Path
) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A process, from when it takes connections at a port or a socket to its end."""
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, cwd=directory, env=environment())
    try:
        async with asyncio.timeout(START_S):
            while not _reachable(at):
                await asyncio.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait()


def _reachable(at: int | Path) -> bool:
    with socket.socket(socket.AF_INET if isinstance(at, int) else socket.AF_UNIX) as one:
        return one.connect_ex(("127.0.0.1", at) if isinstance(at, int) else str(at)) == 0


def _subject(protocol: str, at: int | Path, pid: int) -> Subject:
    return Subject(protocol, lambda domain: (str(at), domain), lambda: list(family(pid)))


def conserver_config(uri: str, consoles: Iterable[tuple[str, str]]) -> str:
    """For these consoles: domains and devices; where there is no device it is the domain's first."""
    return CONSERVER + "".join(
        CONSERVER_CONSOLE.format(
            name=f"{domain}{device}", uri=uri, domain=domain, device=device and f"--devname {device}"
        )
        for domain, device in consoles
    )


# What is measured.


@asynccontextmanager
async def conserver(uri: str, domains: Sequence[str], directory: Path) -> AsyncIterator[Subject]:
    """It runs a `virsh console` on a terminal for each."""
    port = _free_port()
    (directory / "passwd").touch()
    (directory / "conserver.cf").write_text(conserver_config(uri, [(domain, "") for domain in domains]))
    command = [program("usr/sbin/conserver"), "-E", "-M", "127.0.0.1", "-p", str(port), "-C", "conserver.cf"]
    quiet = ["-P", "passwd", "-L", "/dev/null", "-U", "/dev/null"]
    async with _running([*command, *quiet], directory, port) as process:
        yield _subject("conserver", port, process.pid)


@asynccontextmanager
async def conman(uri: str, domains: Sequence[str], directory: Path) -> AsyncIterator[Subject]:
    """It has no terminal for a program, so socat makes one for each `virsh console`."""
    port, socat = _free_port(), program("usr/bin/socat")
    config = CONMAN.format(port=port, directory=directory)
    for domain in domains:
        script = directory / f"{domain}-console"
        script.write_text(CONMAN_SCRIPT.format(domain=domain, uri=uri, socat=socat, libraries=LIBRARIES))
        script.chmod(0o755)
        config += CONMAN_CONSOLE.format(domain=domain, script=script)
    (directory / "conman.conf").write_text(config)
    command = [program("usr/sbin/conmand"), "-F", "-c", "conman.conf", "-p", str(port)]
    async with _running(command, directory, port) as process:
        yield _subject("conman", port, process.pid)


@asynccontextmanager
async def bare_loop(uri: str, domains: Sequence[str], directory: Path, *, gather: int = 0) -> AsyncIterator[Subject]:
    """See `bare_loop`, which has one console; `gather` in milliseconds."""
    path, (domain,) = directory / "socket", domains
    command = [sys.executable, "-m", "tests.bench.peers.bare_loop", uri, domain, path, gather]
    async with _running(command, directory, path) as process:
        yield _subject("plain", path, process.pid)


@asynccontextmanager
async def virtmux(
    uri: str, _domains: Sequence[str], _directory: Path, *, journal: bool = False, ring: int = RING
) -> AsyncIterator[Subject]:
    """The daemon, with a journal as it comes, or without. The guest waits for no reader, so one that gets too little of
    the processor is given what it has missed from the ring, which is to hold a whole flood."""
    kept = "disk" if journal else "memory"
    config = f'journal = "{kept}"\nring = {ring}\n'
    daemon = Daemon([uri], arguments=["--log-level", "info"], config=config)
    try:
        await daemon.start()
        yield _subject("virtmux", daemon.socket, daemon.pid)
    finally:
        await daemon.close()


@asynccontextmanager
async def virsh(uri: str, _domains: Sequence[str], _directory: Path) -> AsyncIterator[Subject]:
    """`virsh console`, which has one client: the terminal it is on. To be that client is to start it."""
    yield Subject("command", lambda domain: ("virsh", "--connect", uri, "console", domain), list)


MULTIPLEXERS: dict[str, Starter] = {
    "virsh": virsh,
    "conserver": conserver,
    "conman": conman,
    "bare loop": bare_loop,
    "bare loop, gathering": partial(bare_loop, gather=2),
    "virtmux": virtmux,
    "virtmux, journal": partial(virtmux, journal=True),
}


async def start(name: str, stack: AsyncExitStack, uri: str, domains: Sequence[str], directory: Path) -> Subject | None:
    """Have one run for as long as the stack; None where it cannot be had here, which it says."""
    files = directory / name.replace(" ", "-")
    files.mkdir()
    try:
        return await stack.enter_async_context(MULTIPLEXERS[name](uri, domains, files))
    except NotToBeHadError as error:
        print(f"  not measured: {name}: {error}")
        return None
