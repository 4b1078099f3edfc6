"""A machine that is started again, as far as a daemon can tell: it sees another boot id, and an empty /run."""

import shutil
import uuid
from pathlib import Path

from tests.harness.daemon import Daemon
from tests.harness.privilege import IS_ROOT

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_NAMESPACES = ("--mount",) if IS_ROOT else ("--user", "--map-root-user", "--mount")
_LAUNCH = f'mount --bind "$0" {_BOOT_ID} && exec "$@"'


class Machine:
    """Give `through` to the daemon, and `restart` while it does not run."""

    def __init__(self, directory: Path) -> None:
        """The boot id lies in `directory`."""
        self._boot_id = directory / "boot_id"
        self.through = ("unshare", *_NAMESPACES, "sh", "-c", _LAUNCH, str(self._boot_id))
        self._begin_boot()

    def restart(self, mux: Daemon) -> None:
        """What is on the disk is kept."""
        empty_rings(mux)
        self._begin_boot()

    def _begin_boot(self) -> None:
        self._boot_id.write_text(f"{uuid.uuid4()}\n")


def empty_rings(mux: Daemon) -> None:
    """Remove what a restart of the machine, or somebody, removes of a daemon that does not run."""
    shutil.rmtree(mux.runtime / "rings")
