"""How long one byte takes to a guest and back, through each multiplexer: `make bench`, or by itself.

Each has a container of its own that sends back what it gets, and another that may flood. In each round all of them take
their turn, while all is quiet, and then while their other console brings all that it can. One byte is on its way at a
time, the next behind it at once; the time is that at the client's socket, or its terminal. `terminal` is a PTY alone.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from tests.bench.peers.multiplexers import MULTIPLEXERS, Subject, start
from tests.bench.peers.protocols import PROTOCOLS, Client, command
from tests.bench.sink import Sink
from tests.bench.source import ECHOER, Source, write_flood
from tests.bench.tables import Cut, Target, cut, keep, machine
from tests.harness.container import container_of, remove_cgroups
from tests.harness.libvirtd import Libvirtd

ROUNDS = 40
ECHOES = 50
#: In every so manieth round it is also measured while another console floods.
FLOODED_EVERY = 8
FLOOD = 24 << 20
#: Those which are also measured while their other console floods.
FLOODED = ("conserver", "virtmux", "virtmux, journal")


class Echoing(NamedTuple):
    """A client at a console that echoes; what floods besides, where anything does."""

    client: Client
    flooding: tuple[Subject, Source] | None


def echo(client: Client) -> float:
    """Microseconds until what is typed is back."""
    before = client.received
    typed = client.typed(b".")
    began = time.perf_counter()
    os.write(client.descriptor, typed)
    while True:
        data = os.read(client.descriptor, 65536)
        ended = time.perf_counter()
        if not data:
            raise EOFError("the multiplexer has ended the connection")
        client.take(memoryview(data))
        if client.received > before:
            return (ended - began) * 1e6


def flooded_echoes(client: Client, subject: Subject, source: Source) -> Iterator[float]:
    """The same, as long as the other console floods."""
    with Sink(subject.protocol, subject.address(source.guest.name), 1) as sink:
        sink.warm(source)
        sink.say("take", str(FLOOD))
        source.print("flood", FLOOD)
        while not sink.has_taken:
            yield echo(client)
        sink.taken()


async def echoing(stack: AsyncExitStack, directory: Path) -> dict[str, Echoing]:
    """All that can be had here."""
    libvirtd = stack.enter_context(Libvirtd("lxc"))
    write_flood(libvirtd.base / "flood", FLOOD)
    terminal = command("sh", "-c", "stty raw -echo; exec cat")
    stack.callback(terminal.close)
    all_of_them = {"terminal": Echoing(terminal, None)}
    for name in MULTIPLEXERS:
        guests = [container_of(libvirtd, ECHOER)]
        source = Source(libvirtd, libvirtd.base / "flood") if name in FLOODED else None
        if source is not None:
            guests.append(source.guest)
        for guest in guests:
            await guest.define()
            await guest.start()
        subject = await start(name, stack, libvirtd.uri, [guest.name for guest in guests], directory)
        if subject is not None:
            client = PROTOCOLS[subject.protocol](*subject.address(guests[0].name))
            stack.callback(client.close)
            all_of_them[name] = Echoing(client, None if source is None else (subject, source))
    return all_of_them


def measure(all_of_them: dict[str, Echoing]) -> tuple[dict[str, Cut], dict[str, Cut]]:
    """While all is quiet, and while another console floods."""
    for one in all_of_them.values():
        echo(one.client)
    quiet: dict[str, list[float]] = {name: [] for name in all_of_them}
    flooded: dict[str, list[float]] = {name: [] for name, one in all_of_them.items() if one.flooding is not None}
    for number in range(ROUNDS):
        for name, one in all_of_them.items():
            quiet[name] += [echo(one.client) for _ in range(ECHOES)]
        for name in flooded if number % FLOODED_EVERY == 0 else ():
            one = all_of_them[name]
            assert one.flooding is not None
            flooded[name] += flooded_echoes(one.client, *one.flooding)
    return {name: cut(times) for name, times in quiet.items()}, {name: cut(times) for name, times in flooded.items()}


def table(quiet: dict[str, Cut], flooded: dict[str, Cut]) -> str:
    """The table."""
    lines = [
        f"{machine()}, {ROUNDS} rounds of {ECHOES} echoes; microseconds",
        f"{'':<22}{'p50':>7}{'p99':>7}   while another console floods:{'p50':>7}{'p99':>7}",
    ]
    for name, times in quiet.items():
        beside = f"{flooded[name].p50:38.0f}{flooded[name].p99:7.0f}" if name in flooded else ""
        lines.append(f"{name:<22}{times.p50:7.0f}{times.p99:7.0f}{beside}")
    return "\n".join([*lines, ""])


def targets(quiet: dict[str, Cut], flooded: dict[str, Cut]) -> list[Target]:
    """How what was measured stands to them."""
    ours, journal = quiet["virtmux"], quiet["virtmux, journal"]
    found = [
        Target("p50 of virsh's", ours.p50 / quiet["virsh"].p50, 1.2),
        Target("p50 with a journal of that without", journal.p50 / ours.p50, 1.05),
        Target("p99 while another console floods of that while all is quiet", flooded["virtmux"].p99 / ours.p99, 3.0),
    ]
    if "conserver" in quiet:
        theirs = quiet["conserver"]
        found.append(Target("p50 of conserver's", ours.p50 / theirs.p50, 1.0))
        found.append(Target("p99 of conserver's", ours.p99 / theirs.p99, 1.2))
        ratio = flooded["virtmux"].p99 / flooded["conserver"].p99
        found.append(Target("p99 of conserver's, while another console floods", ratio, 1.2))
    return found


async def main() -> None:
    """Measure, print, keep."""
    async with AsyncExitStack() as stack:
        stack.callback(remove_cgroups)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vmxb-")))
        quiet, flooded = measure(await echoing(stack, directory))
    keep("echo", table(quiet, flooded), targets(quiet, flooded))


if __name__ == "__main__":
    asyncio.run(main())
