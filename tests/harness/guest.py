"""A guest of the tests' own: one domain on a `Libvirtd`, by libvirt's own words for what can be done to it."""

import asyncio
import re
import secrets
import signal
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from tests.harness.domain_xml import DISK, GUESTS, TO_FILE, boot_sector_xml, linux_xml
from tests.harness.libvirtd import LOOK_AGAIN_S, Libvirtd, VirshError
from tests.harness.privilege import run_as_root, send_signal, wait_for_exit

BANNER = b"virtmux boot-sector guest ready\r\n"
PROMPT = b"virtmux-guest# "
#: Has the shell of a Linux guest say again every byte that comes, and what it says first then.
SAY_AGAIN = b"stty raw -echo; echo; echo it is raw; exec cat\n"
SAYS_AGAIN = b"\nit is raw\n"

POWER_OFF = b"\x04"
FLOOD = b"\x06"
PANIC = b"\x10"
RESET = b"\x12"
STOP_READING = b"\x13"

#: What `virsh migrate` needs so that the definition goes along. Without it the guest stays defined where it was.
DEFINITION_TOO = ("--persistent", "--undefinesource")

#: A processor that has halted in the boot sector.
_ASLEEP = re.compile(r"EIP=00007[cd].*HLT=1")


@dataclass
class Guest:
    """One domain. Every method is one virsh command and raises VirshError when that fails."""

    libvirtd: Libvirtd
    name: str
    uuid: uuid.UUID
    xml: str = field(repr=False)

    async def define(self) -> None:
        await self.libvirtd.define(self.name, self.xml)

    async def start(self, *, paused: bool = False) -> None:
        """`paused` stops it before its first instruction, so that no output is lost until `resume`."""
        await self.libvirtd.virsh("start", self.name, *(["--paused"] if paused else []))

    async def resume(self) -> None:
        await self.libvirtd.virsh("resume", self.name)

    async def suspend(self) -> None:
        await self.libvirtd.virsh("suspend", self.name)

    async def reset(self) -> None:
        await self.libvirtd.virsh("reset", self.name)

    async def destroy(self) -> None:
        await self.libvirtd.virsh("destroy", self.name)

    async def save(self) -> None:
        """It goes on where it is at the next `start`."""
        await self.libvirtd.virsh("managedsave", self.name)

    async def undefine(self) -> None:
        """With its snapshots, if it has any."""
        await self.libvirtd.virsh("undefine", "--snapshots-metadata", self.name)

    async def rename(self, name: str) -> None:
        """Only a domain that is not running can be renamed."""
        await self.libvirtd.virsh("domrename", self.name, name)
        self.name = name

    async def state(self) -> str:
        """As virsh says it, for example `running (booted)` or `shut off (destroyed)`."""
        return await self.libvirtd.virsh("domstate", "--reason", self.name)

    async def until(self, state: str, *, seconds: float = 20.0) -> None:
        """Waits until the domain is in `state`, given with its reason. Raises TimeoutError.

        It asks again and again, up to a deadline: `virsh event` does not say when it has begun to listen, so a change
        between a look and that moment would be missed; and what virtmux hears by events is here seen without them.
        """
        async with asyncio.timeout(seconds):
            while await self.state() != state:
                await asyncio.sleep(LOOK_AGAIN_S)

    async def until_booted(self, *, seconds: float = 20.0) -> None:
        """Waits until a boot-sector guest has said what it says by itself, to whom it may concern, and sleeps until it
        is typed to: what is typed before that may be lost. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not _ASLEEP.search(
                await self.libvirtd.virsh("qemu-monitor-command", "--hmp", self.name, "info registers")
            ):
                await asyncio.sleep(LOOK_AGAIN_S)

    async def until_on_its_way(self, *, seconds: float = 20.0) -> None:
        """Waits until its memory is being sent to another libvirtd, which has said that it may. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while "Data processed" not in await self.libvirtd.virsh("domjobinfo", self.name):
                await asyncio.sleep(LOOK_AGAIN_S)

    async def migrate(self, to: Libvirtd, options: Sequence[str] = DEFINITION_TOO) -> None:
        """Moves it to another libvirtd, live; from then on it is a guest of that one. Takes about a second.

        `options` are more of `virsh migrate`'s.
        """
        await self._migrate(to, f"unix://{to.base}/migration", options)
        self.libvirtd = to

    async def fail_to_migrate(self, to: Libvirtd) -> None:
        """Begins to move it, and fails once its QEMU at the destination waits: it runs on where it is.

        /run/libvirt is each libvirtd's own: nobody listens where the source connects to.
        """
        try:
            await self._migrate(to, "unix:///run/libvirt/migration", ())
        except VirshError as error:
            if "Failed to connect socket" not in str(error):
                raise
        else:
            raise AssertionError("it was moved")

    async def _migrate(self, to: Libvirtd, through: str, options: Sequence[str]) -> None:
        await self.libvirtd.virsh(
            "migrate", "--live", "--p2p", "--unsafe", *options, self.name, to.uri, "--migrateuri", through
        )

    def qemu_pid(self) -> int:
        """The pid of its QEMU; raises CalledProcessError when it does not run."""
        return int(run_as_root("cat", self.libvirtd.base / "run" / "qemu" / f"{self.name}.pid"))

    def kill_qemu(self) -> None:
        """Ends its QEMU by SIGKILL and returns once it is gone."""
        pid = self.qemu_pid()
        send_signal(pid, signal.SIGKILL)
        wait_for_exit(pid, 10.0)


def boot_sector_guest(
    libvirtd: Libvirtd,
    *,
    memory_mib: int = 4,
    extra_devices: str = "",
    on_crash: str = "destroy",
    snapshots: bool = False,
    name: str | None = None,
) -> Guest:
    """A guest that prints BANNER and echoes; POWER_OFF, FLOOD, PANIC, RESET and STOP_READING are its commands.

    `snapshots` gives it a disk that can hold them. One that is given no name has one that no other has.
    """
    _require("boot-sector.img")
    unique, domain_uuid = _unique()
    name = name or unique
    if snapshots:
        image = libvirtd.base / f"{name}.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
        extra_devices += DISK.format(image=escape(str(image)))
    xml = boot_sector_xml(name, domain_uuid, memory_mib=memory_mib, extra_devices=extra_devices, on_crash=on_crash)
    return Guest(libvirtd, name, domain_uuid, xml)


def ticker_guest(libvirtd: Libvirtd, truth: Path) -> Guest:
    """A guest that prints numbered lines (guests/ticker.asm), each byte of which it also writes to a file, `truth`."""
    _require("ticker.img")
    name, domain_uuid = _unique()
    extra = TO_FILE.format(path=escape(str(truth)))
    return Guest(
        libvirtd, name, domain_uuid, boot_sector_xml(name, domain_uuid, image="ticker.img", extra_devices=extra)
    )


def linux_guest(libvirtd: Libvirtd, *, memory_mib: int = 128, extra_devices: str = "") -> Guest:
    """A guest with a shell, which prints PROMPT some three seconds after its start."""
    _require("vmlinuz", "initramfs.cpio")
    name, domain_uuid = _unique()
    return Guest(
        libvirtd, name, domain_uuid, linux_xml(name, domain_uuid, memory_mib=memory_mib, extra_devices=extra_devices)
    )


def _unique() -> tuple[str, uuid.UUID]:
    return f"vmx-{secrets.token_hex(4)}", uuid.uuid4()


def _require(*files: str) -> None:
    missing = [name for name in files if not (GUESTS / name).exists()]
    if missing:
        raise RuntimeError(f"the guests are not built ({', '.join(missing)}): run 'make setup'")
