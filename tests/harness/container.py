"""A guest that is an LXC container: busybox as its init, which greets and echoes lines. Needs a `Libvirtd("lxc")`."""

import secrets
import shutil
import uuid
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

DOMAIN = """\
<domain type='lxc'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>32</memory>
  <os><type>exe</type><init>/init</init></os>
  <devices>
    <filesystem type='mount'><source dir='{root}'/><target dir='/'/></filesystem>
    <console type='pty'/>
  </devices>
</domain>
"""


def container(libvirtd: Libvirtd) -> Guest:
    """What it prints before anybody has its console open waits in its PTY."""
    root = libvirtd.base / "root"
    if not root.exists():
        for directory in ("bin", "dev", "proc", "sys"):
            (root / directory).mkdir(parents=True)
        shutil.copy2(str(shutil.which("busybox")), root / "bin")
        (root / "init").write_text(INIT)
        (root / "init").chmod(0o755)
    name, domain_uuid = f"vmx-{secrets.token_hex(4)}", uuid.uuid4()
    return Guest(libvirtd, name, domain_uuid, DOMAIN.format(name=name, uuid=domain_uuid, root=escape(str(root))))


def remove_cgroups() -> None:
    """Remove what libvirt leaves behind of the containers that it had. Others' are in use, hence not empty."""
    run_as_root("sh", "-c", "rmdir /sys/fs/cgroup/*/machine /sys/fs/cgroup/machine 2>/dev/null || true")
