"""Domain XML for the guests that `tests/harness/guests/` builds. Used by the tests and by `make demo`."""

import os
import uuid
from pathlib import Path
from xml.sax.saxutils import escape

GUESTS = Path(__file__).parents[2] / "build" / "guests"

# No KVM, which a machine may lack: these guests are up in a second or three without it. And no device that a guest
# does not use: each costs QEMU time and memory. ACPI is there so that power-off ends QEMU.
DOMAIN = """\
<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    {boot}
  </os>
  <features><acpi/></features>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>{on_crash}</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <video><model type='none'/></video>
    <serial type='pty'><target port='0'/></serial>
    <console type='pty'><target type='serial' port='0'/></console>
    {devices}
  </devices>
</domain>
"""

# A floppy: it may be read-only, hence shared by any number of guests, and SeaBIOS boots it with 4 MiB.
FLOPPY = """\
<disk type='file' device='floppy'>
      <driver name='qemu' type='raw'/>
      <source file='{image}'/>
      <target dev='fda' bus='fdc'/>
      <readonly/>
    </disk>"""

# loglevel=6 shows a page of kernel lines and not ten. On a loaded machine an emulated guest may miss the ticks by which
# Linux finds out whether its timer works; where it sees none it panics. And it may take its time stamp counter for many
# times slower than it is: then its clock runs as many times too fast, and all its deadlines with it.
LINUX_BOOT = """\
<kernel>{directory}/vmlinuz</kernel>
    <initrd>{directory}/initramfs.cpio</initrd>
    <cmdline>console=ttyS0 loglevel=6 no_timer_check tsc=unstable</cmdline>"""

# A serial port whose output goes to a file, behind what is there.
TO_FILE = """\
<serial type='file'><source path='{path}' append='on'/><target port='1'/></serial>"""

# A disk that can hold snapshots.
DISK = """\
<disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='{image}'/>
      <target dev='vda' bus='virtio'/>
    </disk>"""

#: What a serial port may lead to that is no PTY.
NOT_A_PTY = {
    "file": "<source path='{directory}/file'/>",
    "unix": "<source mode='bind' path='{directory}/socket'/>",
    "tcp": "<source mode='bind' host='127.0.0.1' service='0'/><protocol type='raw'/>",
    "udp": "<source mode='connect' host='127.0.0.1' service='9'/>",
    "pipe": "<source path='{directory}/pipe'/>",
    "dev": "<source path='/dev/ptmx'/>",
    "null": "",
    "stdio": "<log file='{directory}/log'/>",
    "vc": "",
    "spiceport": "<source channel='org.qemu.console.serial.0'/>",
}
_SPICE = "<graphics type='spice'><listen type='none'/></graphics>"


def no_pty_xml(directory: Path, first: int = 1) -> str:
    """A serial port for each of `NOT_A_PTY`, in its order, from this number on. What they need is made in `directory`.

    They are on PCI: a machine has four ISA ports.
    """
    os.mkfifo(directory / "pipe")
    ports = (
        f"<serial type='{backend}'>{source.format(directory=escape(str(directory)))}"
        f"<target type='pci-serial' port='{port}'/></serial>"
        for port, (backend, source) in enumerate(NOT_A_PTY.items(), first)
    )
    return _SPICE + "".join(ports)


def boot_sector_xml(
    name: str,
    domain_uuid: uuid.UUID,
    *,
    image: str = "boot-sector.img",
    memory_mib: int = 4,
    extra_devices: str = "",
    on_crash: str = "destroy",
) -> str:
    """A guest that is one sector: it prints a banner and echoes (its control bytes: guests/boot_sector.asm), or is
    another `image`."""
    floppy = FLOPPY.format(image=escape(str(GUESTS / image)))
    return DOMAIN.format(
        name=escape(name),
        uuid=domain_uuid,
        memory=memory_mib,
        boot="<boot dev='fd'/>",
        on_crash=on_crash,
        devices=floppy + extra_devices,
    )


def linux_xml(
    name: str, domain_uuid: uuid.UUID, *, directory: Path = GUESTS, memory_mib: int = 128, extra_devices: str = ""
) -> str:
    """The Linux guest: a busybox shell on its serial port. `directory` holds `vmlinuz` and `initramfs.cpio`."""
    boot = LINUX_BOOT.format(directory=escape(str(directory)))
    return DOMAIN.format(
        name=escape(name),
        uuid=domain_uuid,
        memory=memory_mib,
        boot=boot,
        on_crash="destroy",
        devices=extra_devices,
    )
