"""What is wrong with a console whose guest runs. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from virtmux.domains import DomainInfo
from virtmux.messages import ConsoleInfo
from virtmux.reasons import CAUSES, Cause, Reason
from virtmux_cli.doctor.finding import Finding
from virtmux_cli.text import console_name, local_time, reason_text

_SILENT_STATUS = 1


class Holder(NamedTuple):
    """A process that may hold a console; `sure` where its command line names it."""

    pid: int
    user: str
    what: str
    sure: bool

    def __str__(self) -> str:
        return f"`{self.what}` (pid {self.pid}, user {self.user})"


def claim_findings(info: ConsoleInfo) -> list[Finding]:
    """Whether virtmux may hold it at all."""
    name, status = console_name(info.id), CAUSES[Cause.CONSOLE_RELEASED].exit_status
    if info.released is not None:
        if info.released == "while-in-use":
            known, do = "It is released while a command runs (`virtmux release CONSOLE -- CMD`).", "Wait for its end."
        else:
            until = "" if info.released == "until-reclaimed" else f", until {local_time(info.released)}"
            known = f"Somebody asked for it with `virtmux release`{until}."
            do = f"`virtmux reclaim {name}` takes it back once it is free."
        return [Finding("console-released", status, f"virtmux has let go of {name}.", known, do)]
    if info.policy == "never":
        do = "Change `attach` in virtmuxd's configuration to on-demand or always, and have virtmuxd reload it."
        known = "Its attach policy is `never`, by virtmuxd's configuration."
        return [Finding("policy-never", status, f"virtmux may not open {name}.", known, do)]
    return []


def attach_findings(info: ConsoleInfo, why_not: Reason | None, holders: Sequence[Holder]) -> list[Finding]:
    """Why it was not opened just now."""
    if why_not is None:
        return []
    name = console_name(info.id)
    if why_not.cause is Cause.CONSOLE_BUSY:
        return [_held(name, info.id.domain, why_not, holders)]
    do = "docs/causes.md says what this cause means and what can be done; virtmuxd's log has the details."
    return [Finding("not-attached", why_not.exit_status, f"{name} cannot be opened.", f"{reason_text(why_not)}.", do)]


def _held(name: str, domain: str, why_not: Reason, holders: Sequence[Holder]) -> Finding:
    known = f"libvirt says: {why_not.error.message}." if why_not.error is not None else f"{reason_text(why_not)}."
    sure = [holder for holder in holders if holder.sure]
    if sure:
        known += f" On this host it is {' and '.join(map(str, sure))}."
        do = "Ask that person to leave (`^]`), or"
    elif holders:
        known += f" It may be {' or '.join(map(str, holders))}."
        do = "Close its view of this console, or"
    else:
        known += " No process of this host looks like it: it may be a client on another."
        do = "Find it (`virt-admin client-list libvirtd` on the hypervisor), or"
    do += f" take it: `virtmux console --force {domain}`. virtmux takes it by itself once it is free."
    return Finding("console-held", why_not.exit_status, f"Somebody else has {name}.", known, do)


def output_findings(info: ConsoleInfo, domain: DomainInfo, listened_s: float) -> list[Finding]:
    """Whether its guest says anything; `listened_s`: for how long it was listened to now."""
    if info.last_output is not None:
        return []
    name = console_name(info.id)
    return [
        Finding(
            "guest-silent",
            _SILENT_STATUS,
            f"{name} is open, and its guest prints nothing.",
            f"virtmux has had no output of it since it began, nor in the last {listened_s:g} s.",
            f"Press Enter in `virtmux attach {name}`: a login prompt that was printed long ago comes again. "
            + _advice(domain.command_line),
        )
    ]


def _advice(command_line: str | None) -> str:
    getty = "`systemctl enable --now serial-getty@ttyS0.service` in the guest starts a login there"
    if command_line is None:
        return (
            "If none does, Linux wants `console=ttyS0` on its kernel's command line (GRUB_CMDLINE_LINUX in "
            f"/etc/default/grub, then update-grub), and {getty}."
        )
    if "console=" not in command_line:
        return (
            f"The kernel's command line, which libvirt gives it ({command_line!r}), has no `console=ttyS0`: "
            f"add it with `virsh edit`; {getty}."
        )
    return f"The kernel's command line names a console ({command_line!r}); {getty}."


def shared_findings(info: ConsoleInfo) -> list[Finding]:
    """Whether others may take a part of its output unnoticed."""
    if info.exclusive:
        return []
    name = console_name(info.id)
    return [
        Finding(
            "console-shared",
            0,
            f"{name} may lack output that another libvirt client reads at the same time.",
            "Its driver gives a console to several clients at once, and each gets a part.",
            "Look for `virsh console` on that host; several people share it by virtmux alone.",
        )
    ]
