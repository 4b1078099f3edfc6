"""Every byte value, through the whole chain and both ways at once: guest, libvirt, virtmuxd and several clients."""

import asyncio
import hashlib
import random
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.harness.container import GREETING, exchange
from tests.harness.counts import amount, seed
from tests.harness.follower import follow
from tests.harness.guest import PROMPT, SAY_AGAIN, SAYS_AGAIN
from tests.harness.libvirtd import Libvirtd
from tests.harness.stream import ROOMY, Checker, Expected, checking, write_random
from tests.integration.conftest import StartDaemon, StartGuest

CLIENTS = 3
MIB = 1 << 20
#: Bytes; `make soak-bytes` asks for the large ones.
OUT = amount(4 * MIB, 256 * MIB)
IN = amount(MIB // 4, 16 * MIB)
#: What is typed with one `write`.
WRITE = MIB // 16
#: To and from a guest whose serial line is emulated: each byte costs it an interrupt. What it echoes at once must be
#: taken by its terminal's buffer, 4 KiB.
ECHO_WRITE = 1024
ECHOED = amount(8, 128) * ECHO_WRITE


@pytest.mark.where_it_can_be_had
async def test_random_streams_pass_a_containers_console_both_ways_at_once(
    lxc: Libvirtd,
    start_talker: StartGuest,
    daemon: StartDaemon,
    tmp_path: Path,
    progress: Callable[[str], None],
) -> None:
    chance = seed()
    stream = write_random(tmp_path / "output", OUT, chance)
    typed = random.Random(chance + 1).randbytes(IN)
    assert set(typed) == set(range(256))
    guest = await start_talker(lxc, output=tmp_path / "output")
    mux = await daemon(lxc.uri, config=ROOMY)
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        expected = Expected(GREETING, stream)
        checkers = [await stack.enter_async_context(checking(mux.socket, guest.name, expected)) for _ in range(CLIENTS)]
        for checker in checkers:
            await checker.until_at(len(GREETING))
        await checkers[0].console.write(exchange(IN))
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_type(checkers[0], typed, progress))
            await _hear(checkers, expected, progress)
        took = loop.time() - began
        told = hashlib.sha256(typed).hexdigest().encode() + b"\n"
        for checker in checkers:
            await checker.until_at(expected.end + len(told))
            assert checker.rest == told, "the container got what was typed"
            assert not checker.gaps
            assert len(checker.marks) == 1, "attached once"
    figures = f"{OUT / MIB:g} MiB out to {CLIENTS} clients and {IN / MIB:g} MiB in within {took:.1f} s"
    print(figures)
    progress(figures)


async def _type(typist: Checker, data: bytes, progress: Callable[[str], None]) -> None:
    for start in range(0, len(data), WRITE):
        await typist.console.write(data[start : start + WRITE])
        if start % MIB == 0:
            progress(f"{start // MIB} of {len(data) // MIB} MiB in")
    progress("all in")


async def _hear(checkers: Sequence[Checker], expected: Expected, progress: Callable[[str], None]) -> None:
    for offset in [*range(0, expected.end, 16 * MIB), expected.end]:
        for checker in checkers:
            await checker.until_at(offset)
        progress(f"{offset // MIB} of {expected.end // MIB} MiB out")


async def test_every_byte_value_passes_an_emulated_serial_line_both_ways(
    libvirtd: Libvirtd, linux: StartGuest, daemon: StartDaemon, progress: Callable[[str], None]
) -> None:
    data = random.Random(seed()).randbytes(ECHOED)
    assert set(data) == set(range(256))
    guest = await linux(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(follow(mux.socket, guest.name)) for _ in range(CLIENTS)]
        await guest.resume()
        await clients[0].until_output(PROMPT)
        await clients[0].write(SAY_AGAIN)
        await clients[0].until_output(SAYS_AGAIN)
        start = clients[0].console.position.offset
        for sent in range(0, ECHOED, ECHO_WRITE):
            await clients[0].write(data[sent : sent + ECHO_WRITE])
            await clients[0].until_offset(start + sent + ECHO_WRITE)
            progress(f"{sent} of {ECHOED} bytes")
        for client in clients:
            await client.until_offset(start + ECHOED)
            came = client.output[start:]
            wrong = next((at for at in range(ECHOED) if came[at] != data[at]), None)
            assert wrong is None, f"at {wrong}: {came[wrong : wrong + 80]!r}"
            assert client.offsets == [(0, start + ECHOED)]
