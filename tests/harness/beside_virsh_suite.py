"""What a test suite of libvirt's consoles (tp-libvirt, for avocado-vt) does with `virsh console`; what is seen of that,
and of `virtmux attach` in its place.

docs/beside-virsh.md has the same table, with the reasons (tests/test_docs.py).
"""

from tests.harness.beside_virsh import Scenario, Seen, Side, power_off
from tests.harness.beside_virsh_words import (
    attach_is_there,
    attaches,
    be_displaced,
    be_displaced_and_come_back,
    both_connect,
    connects,
    fails,
    find_it_in_the_log,
    hear_that_it_is_paused,
    hear_who_is_there,
    look,
    missing,
    misused,
    paused,
    refuses,
    type_at_a_paused_guest,
    unknown,
    virsh_has_it,
    virsh_holds_it,
)
from tests.harness.domain_xml import NOT_A_PTY

_NO_UUID = "99999999-9999-9999-9999-999999999999"
_BUSY = "operation failed: Active console session exists for this domain"
_NO_PTY = "internal error: character device {device} is not using a PTY"
_TOO = "virtmux: {other} is attached too and may type"

NAMES = [
    Scenario("by name", "valid_domname, type_pty", connects(), attaches(), "same"),
    Scenario("by running id", "valid_domid", connects("{id}", act=look), attaches("{id}", act=look), "same"),
    Scenario("by UUID", "valid_domuuid", connects("{uuid}", act=look), attaches("{uuid}", act=look), "same"),
    Scenario(
        "by a name that there is not",
        "invalid_domname",
        fails("not_there", "failed to get domain 'not_there'"),
        unknown("not_there"),
        "same",
    ),
    Scenario(
        "by an id that there is not",
        "invalid_domid",
        fails("9999", "failed to get domain '9999'"),
        unknown("9999"),
        "same",
    ),
    Scenario("by its id in hex", "hex_domid", fails("{hex}", "failed to get domain '{hex}'"), unknown("{hex}"), "same"),
    Scenario(
        "by a UUID that there is not",
        "invalid_domuuid",
        fails(_NO_UUID, f"failed to get domain '{_NO_UUID}'"),
        unknown(_NO_UUID),
        "same",
    ),
    Scenario(
        "by nothing",
        "none_domname",
        fails("", "command 'console' requires <domain> option"),
        misused("", "missing argument 'CONSOLE'"),
        "same",
    ),
    Scenario(
        "by an empty name",
        "",
        fails("''", "Failed to get option 'domain': Option argument is empty"),
        unknown("''", ""),
        "same",
    ),
    Scenario(
        "by what looks like an option",
        "",
        fails("--not-there", "command 'console' doesn't support option --not-there"),
        misused("--not-there", "no such option '--not-there'"),
        "same",
    ),
    Scenario(
        "by the same as a name",
        "",
        fails("-- --not-there", "failed to get domain '--not-there'"),
        unknown("-- --not-there", "--not-there"),
        "same",
    ),
    Scenario(
        "by what begins with one dash",
        "",
        fails("-1", "failed to get domain '-1'"),
        misused("-1", "no such option '-1'"),
        "different",
    ),
    Scenario(
        "with the device behind the name",
        "avocado-vt itself",
        connects("{name} serial0", act=look),
        misused("{name} serial0", "got unexpected extra argument (serial0)"),
        "different",
    ),
    Scenario(
        "with a word too many",
        "",
        fails("{name} serial0 more", "unexpected data 'more'"),
        misused("{name} serial0 more", "got unexpected extra arguments (serial0 more)"),
        "same",
    ),
]

STATES = [
    Scenario(
        "the guest is paused",
        "vm_paused",
        connects(act=type_at_a_paused_guest, others=paused),
        attaches(
            "{name}",
            "virtmux: guest {name} takes no input now: 6 bytes of input wait, 0 were accepted",
            "virtmux: guest resumed: UNPAUSED",
            act=hear_that_it_is_paused,
            others=paused,
        ),
        "better",
    ),
    Scenario(
        "the guest is shut off",
        "vm_shut_off",
        fails("{name}", "The domain is not running"),
        refuses(
            "{name}",
            9,
            "guest {name} is not running (guest-not-running); leaving (--wait waits until it can be attached)",
        ),
        "better",
        "off",
    ),
    Scenario(
        "the guest is shut down from within",
        "check_disconnect_on_shutdown, release_console",
        connects(act=power_off),
        Side(
            "attach {name}",
            Seen(
                10,
                ("virtmux: guest {name} shut down (guest-shutdown); leaving (--stay waits for its next start)",),
                connected=True,
            ),
            power_off,
        ),
        "better",
    ),
]

OTHERS = [
    Scenario(
        "another `virsh console` has it",
        "check_duplicated_console, prevent_multiple_console",
        fails("{name}", _BUSY, others=virsh_holds_it),
        refuses(
            "{name}",
            8,
            f"another libvirt client holds the console of {{name}} (console-busy): libvirt: {_BUSY}; leaving (--wait "
            "waits until it can be attached)",
            others=virsh_holds_it,
        ),
        "better",
    ),
    Scenario(
        "`virtmux attach` has it",
        "",
        fails("{name}", _BUSY, others=attach_is_there),
        attaches("{name}", _TOO, act=hear_who_is_there, others=attach_is_there),
        "better",
    ),
    Scenario(
        "it is to be taken by force",
        "check_duplicated_console, prevent_multiple_console",
        connects("{name} --force", others=virsh_has_it),
        misused(
            "{name} --force",
            "no such option '--force': `virtmux console --force` takes a console from another libvirt client",
        ),
        "different",
    ),
    Scenario(
        "it is taken by force",
        "check_duplicated_console, prevent_multiple_console",
        connects("{name}", "error: stream had I/O failure", status=1, act=be_displaced),
        attaches(
            "{name}",
            "virtmux: another libvirt client took the console of {name} by force (console-taken-over): libvirt: stream "
            "had I/O failure; waiting to attach again",
            "virtmux: attached again",
            act=be_displaced_and_come_back,
        ),
        "better",
    ),
    Scenario(
        "on a read-only connection",
        "",
        Side(
            "-r console {name}",
            Seen(1, ("error: operation forbidden: read only access prevents virDomainOpenConsole",)),
        ),
        attaches("--read-only {name}", act=look),
        "better",
    ),
]

DEVICES = [
    both_connect("many", "a second serial port", "", "serial1"),
    both_connect("many", "a serial port on PCI", "type_pty_pci_serial, pci_target", "serial2"),
    both_connect("many", "a serial port on USB", "", "serial3"),
    both_connect("many", "a virtio console", "console_target_type_virtio", "console1"),
    both_connect("virtio", "a virtio console alone, not named", "virtio_target", None),
    both_connect("pci", "a serial port on PCI alone, not named", "pci_target", None),
    both_connect("both", "a virtio console beside a serial port on PCI, not named", "", None),
    Scenario(
        "a log file beside the PTY",
        "serial.pty.log, chardev.log",
        connects(act=find_it_in_the_log),
        attaches(act=find_it_in_the_log),
        "same",
    ),
    Scenario(
        "a device that there is not",
        "",
        fails("{name} --devname nodev", "internal error: cannot find character device nodev"),
        missing("nodev", "serial0"),
        "better",
    ),
    Scenario(
        "a channel",
        "channel",
        fails("{name} --devname channel0", "internal error: cannot find character device channel0"),
        missing("channel0", "console0"),
        "better",
        "virtio",
    ),
]

#: A device that is no PTY, for each of `NOT_A_PTY`; `device` is its name.
NO_PTY = Scenario(
    f"a device of type {', '.join(NOT_A_PTY)}",
    "type_file, type_unix, type_tcp_server, type_udp_client, type_pipe, type_dev, type_null, type_stdio, type_vc, "
    "type_spiceport",
    fails("{name} --devname {device}", _NO_PTY),
    refuses(
        "{name}:{device}",
        3,
        f"{{device}} of {{name}} is not of type pty, so libvirt cannot open it (console-not-pty): libvirt: {_NO_PTY}; "
        "give the device a <serial type='pty'> in the domain's XML; leaving",
    ),
    "better",
    "many",
)

#: By a user who is not root, where libvirt's access driver asks polkit about each call.
MAY = Scenario("a user who may open it", "acl_test of normal_test", connects(), attaches(), "same")
MAY_NOT = Scenario(
    "a user who may not",
    "acl_test of error_test",
    fails("{name}", "access denied: 'QEMU' denied access"),
    refuses(
        "{name}",
        4,
        "virtmux's access rules do not allow this: user nobody may do nothing here; [[access]] in virtmuxd.toml says "
        "who may (access-denied)",
    ),
    "different",
)

SCENARIOS = [*NAMES, *STATES, *OTHERS, *DEVICES]
#: The page's tables, by their first heading.
TABLES = {
    "the console is named": NAMES,
    "the guest": STATES,
    "who else is there": OTHERS,
    "the device": [*DEVICES, NO_PTY],
    "who asks": [MAY, MAY_NOT],
}
