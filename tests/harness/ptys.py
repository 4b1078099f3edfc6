"""Somebody else's PTYs, where a libvirtd's guests have theirs: as on a host where many guests start."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness.libvirtd import Libvirtd
from tests.harness.privilege import AS_ROOT

#: How many at most: each costs two descriptors.
_MOST = 300

# Takes so many, one every half millisecond, and tells the path of each. They are held until stdin ends.
_TAKE = """
import os, pty, select, sys
for _ in range(int(sys.argv[1])):
    if select.select([0], [], [], 0.0005)[0]:
        break
    print(os.ttyname(pty.openpty()[1]), flush=True)
sys.stdin.read()
"""


@contextmanager
def takes_ptys(libvirtd: Libvirtd) -> Iterator[None]:
    """PTYs are taken, one after another, until the context is left."""
    taker = subprocess.Popen(
        [*AS_ROOT, *libvirtd.through, sys.executable, "-c", _TAKE, str(_MOST)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert taker.stdout is not None
    try:
        assert taker.stdout.readline(), "it takes none"
        yield
    finally:
        taker.communicate()
