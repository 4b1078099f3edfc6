"""Somebody else's PTYs, where a libvirtd's guests have theirs: as on a host where many guests start."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness.libvirtd import Libvirtd
from tests.harness.privilege import AS_ROOT, run_as_root

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
def takes_ptys(libvirtd: Libvirtd, most: int = _MOST) -> Iterator[str]:
    """PTYs are taken, one after another, until the context is left. Yields the path of the first."""
    taker = subprocess.Popen(
        [*AS_ROOT, *libvirtd.through, sys.executable, "-c", _TAKE, str(most)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert taker.stdout is not None
    try:
        first = taker.stdout.readline().rstrip()
        assert first, "it takes none"
        yield first
    finally:
        taker.communicate()


@contextmanager
def leads_elsewhere(path: str, libvirtd: Libvirtd) -> Iterator[None]:
    """The path of a guest's PTY leads to one of somebody else, who is there until the context is left: libvirtd opens
    that. So it is as long as the guest runs."""
    with takes_ptys(libvirtd, most=1) as other:
        run_as_root(*libvirtd.through, "mount", "--bind", other, path)
        yield
