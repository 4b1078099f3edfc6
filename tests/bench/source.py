"""Where output comes from that is measured: containers, whose consoles are PTYs without any emulation.

What they shall print is told from outside, so that no multiplexer has to carry it.
"""

import errno
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.container import container_of
from tests.harness.libvirtd import Libvirtd

if TYPE_CHECKING:
    from tests.harness.guest import Guest

#: Prints what it is told: so much of the file /output, so much of it a hundred times a second for a while, or a word.
FLOODER = """\
#!/bin/busybox sh
/bin/busybox stty raw -echo
while :; do
    read -r what size times </requests
    case $what in
    flood) dd if=/output bs=65536 count=$((size / 65536)) 2>/dev/null ;;
    drip) for _ in $(seq "$times"); do dd if=/output bs="$size" count=1 2>/dev/null; usleep 10000; done ;;
    *) echo "$what" ;;
    esac
done
"""
ECHOER = """\
#!/bin/busybox sh
/bin/busybox stty raw -echo
exec cat
"""
#: Seconds within which it takes what it is told.
TAKES_S = 60.0
LINE = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ\n"


class Source:
    """A container that floods when it is told to."""

    def __init__(self, libvirtd: Libvirtd, flood: Path) -> None:
        """`flood` is what it prints then."""
        self.guest: Guest = container_of(libvirtd, FLOODER, flood)
        self._requests = libvirtd.base / f"{self.guest.name}-root" / "requests"
        os.mkfifo(self._requests)

    async def start(self) -> None:
        """Define and start it."""
        await self.guest.define()
        await self.guest.start()

    def print(self, *what: object) -> None:
        """`flood` with a size in bytes, a multiple of 64 KiB; `drip` with a size and how many times; or a word.

        Raises:
            TimeoutError: it takes no requests: it has not come to its end with the last one, or has died.
        """
        with os.fdopen(self._taking_requests(), "w") as requests:
            print(*what, file=requests)

    def _taking_requests(self) -> int:
        """The pipe, once it reads there: it opens it anew for each request."""
        give_up_at = time.monotonic() + TAKES_S
        while time.monotonic() < give_up_at:
            try:
                return os.open(self._requests, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
            time.sleep(0.001)
        raise TimeoutError(f"{self.guest.name} takes no requests")


def write_flood(path: Path, size: int) -> None:
    """A file of so many bytes of text."""
    path.write_bytes((LINE * (size // len(LINE) + 1))[:size])
