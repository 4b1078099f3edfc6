"""The facts by which a console is looked for in the log."""

from virtmux.reasons import ConsoleId
from virtmuxd.core.log_fields import of_console


def test_a_console_is_named_by_what_finds_it_and_not_by_what_changes() -> None:
    id_ = ConsoleId("qemu/system/4a6b", "qemu:///system", "web1", "5d3f", "serial0", 7)

    assert of_console(id_) == {"uri": "qemu:///system", "domain": "web1", "uuid": "5d3f", "device": "serial0"}
