"""Which unit a process belongs to, by what the kernel says of its control groups."""

import pytest

from virtmuxd.core.cgroup import unit_of

_V1 = "11:memory:/somewhere.service\n2:cpu,cpuacct:/\n1:name=systemd:{}\n"


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/cron.service", "cron.service"),
        ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        ("/system.slice/ci.service/payload/inner.scope", "ci.service"),
        ("/system.slice/systemd-nspawn@x.service/payload/system.slice/a.service", "systemd-nspawn@x.service"),
        ("/machine.slice/machine-qemu\\x2d1\\x2dweb1.scope/libvirt/emulator", "machine-qemu\\x2d1\\x2dweb1.scope"),
        ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/x.service", "user@1000.service/x.service"),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/vte-spawn-1.scope",
            "user@1000.service/vte-spawn-1.scope",
        ),
        ("/user.slice/user-1000.slice/user@1000.service/init.scope", "user@1000.service/init.scope"),
        ("/user.slice/user-1000.slice/user@1000.service", "user@1000.service"),
        ("/init.scope", "init.scope"),
        ("/system.slice/app:web.service", "app:web.service"),
        ("/system.slice/_cpu.service", "cpu.service"),
        ("/../../system.slice/cron.service", "cron.service"),
        ("/", None),
        ("", None),
        ("/system.slice", None),
        ("/docker/0123456789abcdef", None),
        ("/lxc.payload.web/init.scope", None),
    ],
)
@pytest.mark.parametrize(
    "mounted", ["0::{}\n", _V1, "3:cpu:/\n1:name=systemd:{0}\n0::{0}\n", "1:name=systemd:/\n0::{}\n"]
)
def test_the_unit_is_the_first_below_the_slices(mounted: str, path: str, unit: str | None) -> None:
    assert unit_of(mounted.format(path)) == unit


@pytest.mark.parametrize("said", ["", "\n", "nonsense", "0:", "0::", "::::", "5:memory:/system.slice/cron.service\n"])
def test_what_says_nothing_of_units_is_no_unit(said: str) -> None:
    assert unit_of(said) is None
