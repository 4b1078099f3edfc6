"""What is wrong with a domain, whatever its console does. Pure."""

import difflib
from collections.abc import Iterable

from virtmux.domains import DomainInfo
from virtmux.reasons import CAUSES, Cause
from virtmux_cli.doctor.finding import Finding

_PTY = "give it one with `virsh edit {domain}`: <serial type='pty'/> within <devices>; then start it anew"


def _status(cause: Cause) -> int:
    return CAUSES[cause].exit_status


def no_domain(console: str, names: Iterable[str]) -> Finding:
    """No hypervisor has it."""
    close = difflib.get_close_matches(console, dict.fromkeys(names), 3)
    hint = f"Did you mean {' or '.join(close)}? " if close else ""
    return Finding(
        "domain-missing",
        _status(Cause.CONSOLE_MISSING),
        f"There is no domain {console!r}.",
        "No hypervisor that virtmuxd is connected to has one of this name, UUID or running id.",
        f"{hint}`virtmux list` shows the consoles, `virsh list --all` all domains of libvirt. "
        "A domain of another user's qemu:///session is seen by that user's virtmuxd alone.",
    )


def guest_findings(info: DomainInfo, device: str | None) -> list[Finding]:
    """What keeps its console from being had or from saying anything; the main cause first."""
    if not info.served:
        return [_excluded(info)]
    found = _device_findings(info, device)
    if not info.running:
        found.append(
            Finding(
                "guest-off",
                _status(Cause.GUEST_NOT_RUNNING),
                f"Guest {info.domain} does not run.",
                f"libvirt at {info.uri} says so.",
                f"`virtmux start --attach {info.domain}` starts it and misses nothing of what it says.",
            )
        )
    elif info.paused:
        found.append(
            Finding(
                "guest-paused",
                _status(Cause.GUEST_NOT_RUNNING),
                f"Guest {info.domain} is paused: it says nothing and takes no input.",
                f"libvirt at {info.uri} says so.",
                f"`virsh resume {info.domain}` lets it go on; `virsh domstate --reason {info.domain}` says why it is.",
            )
        )
    return found


def _excluded(info: DomainInfo) -> Finding:
    return Finding(
        "domain-excluded",
        _status(Cause.CONSOLE_MISSING),
        f"virtmuxd does not look after {info.domain}.",
        f"libvirt at {info.uri} has it, and no pattern of virtmuxd's setting `domain` fits its name.",
        "Add one to virtmuxd's configuration and have virtmuxd reload it, or restart it with one more `--domain`.",
    )


def _device_findings(info: DomainInfo, device: str | None) -> list[Finding]:
    devices = {each.device: each.backend for each in info.devices}
    if not devices:
        return [_no_device(info)]
    if device is not None and device not in devices:
        return [
            Finding(
                "device-missing",
                _status(Cause.CONSOLE_MISSING),
                f"Guest {info.domain} has no console {device!r}.",
                f"Its definition has {', '.join(devices)}.",
                f"Name one of these, as in `virtmux attach {info.domain}:{info.devices[0].device}`.",
            )
        ]
    wanted = device if device is not None else info.devices[0].device
    if devices[wanted] == "pty":
        return []
    ptys = [each for each, backend in devices.items() if backend == "pty"]
    do = f"Attach to {info.domain}:{ptys[0]}, which is one." if ptys else f"{_PTY[:1].upper()}{_PTY[1:]}."
    return [
        Finding(
            "not-pty",
            _status(Cause.CONSOLE_NOT_PTY),
            f"{wanted} of guest {info.domain} is of type {devices[wanted]}, and only a pty can be opened as a console.",
            f"Its definition at {info.uri} says so: what it prints goes elsewhere.",
            do.format(domain=info.domain),
        )
    ]


def _no_device(info: DomainInfo) -> Finding:
    do = _PTY.format(domain=info.domain)
    if info.graphics:
        name, wrong = (
            "graphical-only",
            f"Guest {info.domain} has a display ({', '.join(info.graphics)}) and no console.",
        )
        do = f"Look at its display with `virt-viewer {info.domain}`; for a console {do}."
    else:
        name, wrong = "no-console-device", f"Guest {info.domain} has no serial port or console at all."
        do = f"{do[:1].upper()}{do[1:]}."
    known = f"Its definition at {info.uri} has no <serial>, <console> or <parallel>."
    return Finding(name, _status(Cause.CONSOLE_MISSING), wrong, known, do)
