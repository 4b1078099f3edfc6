"""Many consoles that print all the time, steadily and in bursts, and many clients at them. Nothing is done to these."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import virtmux
from tests.harness.container import container_of
from tests.harness.guest import Guest
from tests.harness.libvirtd import Libvirtd
from virtmux import Gap, Output, PlaceEnded

#: Consoles of a container.
CONSOLES = 16
#: On each of its consoles a line every second, and 64 KiB of them at once every twenty, all at different times.
PRINTER = f"""\
#!/bin/busybox sh
for console in $(seq {CONSOLES}); do
    (
        exec >/dev/tty$console </dev/null
        second=$console
        while :; do
            echo "console $console, second $second"
            second=$((second + 1))
            if [ $((second % 20)) = 0 ]; then head -c 65536 /output; fi
            sleep 1
        done
    ) &
done
wait
"""


def printer(libvirtd: Libvirtd, output: Path) -> Guest:
    """A container whose consoles print; `output` is a file of 64 KiB at least."""
    return container_of(libvirtd, PRINTER, output, consoles=CONSOLES)


class Crowd:
    """Clients that read, each on a connection of its own. Who stays must never be sent away, nor miss a byte."""

    def __init__(self, socket: Path, guests: Sequence[Guest], chance: Random) -> None:
        self.received = 0
        self.visits = 0
        self.lost: list[str] = []
        self._socket = socket
        self._consoles = [(guest.name, f"console{number}") for guest in guests for number in range(CONSOLES)]
        self._chance = chance

    def __len__(self) -> int:
        return len(self._consoles)

    async def stay(self, number: int) -> None:
        """Be one who stays, for ever."""
        await self._read(*self._consoles[number % len(self._consoles)])

    async def come_and_go(self) -> None:
        """Be one who comes, reads for a while, and goes, again and again."""
        while True:
            self.visits += 1
            with suppress(TimeoutError, virtmux.VirtmuxError):  # the daemon may have no file descriptor for it
                async with asyncio.timeout(self._chance.uniform(0.1, 10.0)):
                    await self._read(*self._chance.choice(self._consoles))
            await asyncio.sleep(self._chance.uniform(0.1, 2.0))

    async def _read(self, domain: str, device: str) -> None:
        async with virtmux.connect(self._socket) as mux, mux.attach(domain, device) as console:
            async for record in console:
                match record:
                    case Output(data=data):
                        self.received += len(data)
                    case Gap() | PlaceEnded():
                        self.lost.append(f"{domain}:{device}: {record}")
                    case _:
                        pass
