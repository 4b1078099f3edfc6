"""Guests that are LXC containers, with busybox as their init. They need a `Libvirtd("lxc")`.

A container's console is a PTY without any emulation: the one that is as fast as libvirt, and passes every byte value.
"""

import secrets
import shutil
import uuid
from pathlib import Path
from xml.sax.saxutils import escape

from tests.harness.guest import Guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.privilege import run_as_root

GREETING = b"virtmux container ready\n"
#: A line that makes it end.
END = b"poweroff\n"

INIT = """\
#!/bin/busybox sh
/bin/busybox stty -echo -onlcr
echo virtmux container ready
while read -r line; do
    if [ "$line" = poweroff ]; then exit; fi
    echo "$line"
done
"""

#: Its terminal passes every byte as it is. `print` prints /output; `exchange` takes so many bytes at the same time, and
#: tells their SHA-256 behind it; `count` prints numbered lines, some 200 a second, until the next line comes; `flood`
#: prints as fast as it can until then.
TALKER = """\
#!/bin/busybox sh
/bin/busybox stty raw -echo
echo virtmux container ready
while read -r command size; do
    case $command in
    print)
        cat /output
        ;;
    exchange)
        cat /output &
        sum=$(head -c "$size" | sha256sum)
        wait
        echo "${sum%% *}"
        ;;
    count)
        : >/counting
        (
            number=0
            while [ -e /counting ]; do
                number=$((number + 1))
                printf 'line %08d\\n' $number
                usleep 4000
            done
        ) &
        read -r line
        rm /counting
        wait
        echo counted
        ;;
    flood)
        yes 0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ &
        read -r line
        kill $!
        wait
        echo flooded
        ;;
    esac
done
"""
PRINT = b"print\n"
COUNT = b"count\n"
#: Ends the counting, and what the container says then.
STOP_COUNTING = b"\n"
COUNTED = b"counted\n"
FLOOD = b"flood\n"
#: Ends the flood, and what the container says then.
STOP_FLOODING = b"\n"
FLOODED = b"flooded\n"

DOMAIN = """\
<domain type='lxc'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>32</memory>
  <os><type>exe</type><init>/init</init></os>
  <devices>
    <filesystem type='mount'><source dir='{root}'/><target dir='/'/></filesystem>
    {consoles}
  </devices>
</domain>
"""


def container(libvirtd: Libvirtd) -> Guest:
    """It greets and echoes lines. What it prints before anybody has its console open waits in its PTY."""
    return container_of(libvirtd, INIT)


def talker(libvirtd: Libvirtd, *, output: Path | None = None) -> Guest:
    """It greets and does what it is told by PRINT, `exchange` and COUNT. It prints the file `output`, as it is now."""
    return container_of(libvirtd, TALKER, output)


def exchange(size: int) -> bytes:
    """The command to print, and to take `size` bytes meanwhile."""
    return b"exchange %d\n" % size


def container_of(libvirtd: Libvirtd, init: str, output: Path | None = None, *, consoles: int = 1) -> Guest:
    """It runs this as its init, which has its first console as its terminal; they are /dev/tty1 and so on. /output is
    the file `output`."""
    name, domain_uuid = f"vmx-{secrets.token_hex(4)}", uuid.uuid4()
    root = libvirtd.base / f"{name}-root"
    for directory in ("bin", "dev", "proc", "sys"):
        (root / directory).mkdir(parents=True)
    shutil.copy2(str(shutil.which("busybox")), root / "bin")
    (root / "init").write_text(init)
    (root / "init").chmod(0o755)
    if output is not None:
        (root / "output").hardlink_to(output)
    devices = "<console type='pty'/>" * consoles
    xml = DOMAIN.format(name=name, uuid=domain_uuid, root=escape(str(root)), consoles=devices)
    return Guest(libvirtd, name, domain_uuid, xml)


def remove_cgroups() -> None:
    """Remove what libvirt leaves behind of the containers that it had. Others' are in use, hence not empty."""
    run_as_root("sh", "-c", "rmdir /sys/fs/cgroup/*/machine /sys/fs/cgroup/machine 2>/dev/null || true")
