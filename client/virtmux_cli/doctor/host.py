"""What is wrong with the hypervisors and with the disk. Pure."""

from collections.abc import Iterable

from virtmux.messages import ConsoleInfo, HypervisorInfo
from virtmux.reasons import CAUSES, Cause
from virtmux_cli.doctor.finding import Finding
from virtmux_cli.text import console_name, local_time, reason_text

_STATUS_OF_A_DISK = 1


def hypervisor_findings(hypervisors: Iterable[HypervisorInfo]) -> list[Finding]:
    """Those that are not connected."""
    return [_away(info) for info in hypervisors if not info.connected]


def _away(info: HypervisorInfo) -> Finding:
    since = f"since {local_time(info.since)}"
    if info.reason is None:
        status = CAUSES[Cause.HYPERVISOR_LOST].exit_status
        known = f"{since[:1].upper()}{since[1:]} its first connection is being made."
        return Finding("hypervisor-unreachable", status, f"{info.uri} is not connected yet.", known, "Try again.")
    known = f"virtmuxd says, {since}: {reason_text(info.reason)}."
    status = info.reason.exit_status
    if info.reason.cause is Cause.HYPERVISOR_DENIED:
        do = (
            "Let virtmuxd's user in: root may, others need group libvirt or a polkit rule for org.libvirt.unix.manage. "
            "`virsh -c URI list` as that user tries the same."
        )
        return Finding("libvirt-permission", status, f"virtmuxd may not connect to {info.uri}.", known, do)
    do = f"See whether libvirt runs there: `virsh -c '{info.uri}' list`, `systemctl status libvirtd virtqemud`."
    do += " virtmuxd connects by itself once it does." if info.reason.retry.will_retry else ""
    return Finding("hypervisor-unreachable", status, f"{info.uri} is not connected.", known, do)


def journal_findings(consoles: Iterable[ConsoleInfo]) -> list[Finding]:
    """Consoles whose records the disk does not take."""
    failing = [console_name(info.id) for info in consoles if info.journal == "failing"]
    if not failing:
        return []
    return [
        Finding(
            "journal-failing",
            _STATUS_OF_A_DISK,
            f"What these consoles say is not being stored: {', '.join(failing)}.",
            "virtmuxd reports that the disk does not take it; the consoles themselves go on.",
            "Look at the space of /var/log/virtmux with `df -h`, and at `journalctl -u virtmuxd`.",
        )
    ]
