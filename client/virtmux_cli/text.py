"""How virtmux words things for a person, and as JSON Lines. Pure, but for the local time zone.

Nothing that a guest, its name or libvirt chose reaches a terminal as anything but printable characters.
"""

from collections.abc import Sequence
from datetime import datetime, tzinfo
from unicodedata import combining, east_asian_width

import msgspec

from virtmux.messages import ConsoleInfo, Event, Gap, HypervisorInfo
from virtmux.reasons import Cause, ConsoleId, Phase, Reason
from virtmux.records import Break, Note
from virtmux.sanitize import printable

#: What a person can do about a cause, where it is not plain from the cause.
_HINTS = {
    Cause.CONSOLE_NOT_PTY: "give the device a <serial type='pty'> in the domain's XML",
    Cause.GUEST_UNDEFINED: "define it again, or look for its new name with `virtmux list`",
}
_CONNECTION_HINTS = {
    Cause.ACCESS_DENIED: "use an account that may open the socket, for example with sudo",
    Cause.SERVER_LOST: "start virtmuxd, or name its socket with --socket",
}

#: What the options of `attach` that wait would do.
_OPTIONS = {
    "--stay": "waits for its next start",
    "--wait": "waits until it can be attached",
}


def local_time(at: str | None, zone: tzinfo | None = None) -> str:
    """An RFC 3339 time to the second in the local time zone, or `-`."""
    if at is None:
        return "-"
    try:
        return f"{datetime.fromisoformat(at).astimezone(zone):%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return printable(at)


def console_name(console: ConsoleId) -> str:
    """`DOMAIN:DEVICE`, as it can be given to `attach`."""
    return printable(f"{console.domain}:{console.device}")


def reason_text(reason: Reason) -> str:
    """The reason in one line: its sentence, its cause, and what libvirt said where the sentence does not."""
    text = f"{reason.text} ({reason.cause.value})"
    if reason.error is not None and reason.error.message not in reason.text:
        text += f": libvirt: {reason.error.message}"
    return printable(text)


def error_line(reason: Reason) -> str:
    """What ended a command, and what can be done about it."""
    hints = _CONNECTION_HINTS if reason.phase is Phase.CONNECTION else _HINTS
    hint = hints.get(reason.cause)
    return f"virtmux: {reason_text(reason)}" + (f"; {hint}" if hint else "")


def end_line(reason: Reason, status: int | None, *, begun: bool, option: str | None = None) -> str:
    """One line for a console's end, and what happens next. `option`: what would have waited this end out."""
    if status == 0:
        return f"virtmux: {printable(reason.text)}"
    if status is None:
        return f"virtmux: {reason_text(reason)}; waiting to attach{' again' if begun else ''}"
    return f"{error_line(reason)}; leaving" + (f" ({option} {_OPTIONS[option]})" if option else "")


def replayed_line(reason: Reason) -> str:
    """One line for an end of long ago."""
    return f"virtmux: {local_time(reason.at)}: {reason_text(reason)}"


def gap_line(gap: Gap) -> str:
    """What the daemon no longer held when it was to be sent."""
    marks = gap.to_mark - gap.mark
    text = f"{gap.to_offset - gap.offset} bytes of output are missing here ({gap.offset} to {gap.to_offset})"
    return f"virtmux: {text}" + (f", and {marks} marks" if marks else "")


def break_line(record: Break) -> str:
    """A time in which nobody held the console."""
    since, until = local_time(record.since), local_time(record.until)
    return f"virtmux: nobody held the console from {since} to {until}; output may be missing here"


def note_line(record: Note) -> str:
    """Something that happened to the guest."""
    return printable(f"virtmux: guest {record.note}" + (f": {record.detail}" if record.detail else ""))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in aligned columns, two blanks between them, every row with its newline."""
    widths = [max(_width(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)) for row in rows
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _width(text: str) -> int:
    """The columns that `text` takes on a terminal."""
    return sum(0 if combining(char) else 2 if east_asian_width(char) in {"W", "F"} else 1 for char in text)


def list_table(infos: Sequence[ConsoleInfo]) -> str:
    """The consoles as `virtmux list` shows them; with their hypervisors where there is more than one."""
    rows = [["CONSOLE", "STATE", "SINCE", "CLIENTS", "LAST OUTPUT", "LAST END", "HYPERVISOR"]]
    for info in sorted(infos, key=lambda info: (info.id.uri, info.id.domain, info.id.device)):
        end = info.last_end
        rows.append(
            [
                console_name(info.id),
                ", ".join([info.state.value, *_marks(info)]),
                local_time(info.since),
                str(info.clients),
                local_time(info.last_output),
                f"{end.cause.value} {local_time(end.at)}" if end else "-",
                printable(info.id.uri),
            ]
        )
    several = len({info.id.hypervisor for info in infos}) > 1
    return table(rows if several else [row[:-1] for row in rows])


def _marks(info: ConsoleInfo) -> list[str]:
    """What else there is to say of a console's state."""
    marks = ["paused"] if info.paused else []
    match info.released:
        case None:
            pass
        case "until-reclaimed":
            marks.append("released")
        case "while-in-use":
            marks.append("released while in use")
        case until:
            marks.append(f"released until {local_time(until)}")
    return marks if info.exclusive else [*marks, "shared"]


def list_text(hypervisors: Sequence[HypervisorInfo], consoles: Sequence[ConsoleInfo]) -> str:
    """The consoles, and a line for each hypervisor that is not connected."""
    away = [info for info in hypervisors if not info.connected]
    return list_table(consoles) + "".join(f"{_away_line(info)}\n" for info in away)


def _away_line(info: HypervisorInfo) -> str:
    return f"{printable(info.uri)}: {reason_text(info.reason) if info.reason else 'not connected yet'}"


def list_json(hypervisors: Sequence[HypervisorInfo], consoles: Sequence[ConsoleInfo]) -> bytes:
    """One line for each hypervisor, then one for each console; the field `type`, the first, tells which it is."""
    lines = [{"type": "hypervisor", **msgspec.structs.asdict(info)} for info in hypervisors]
    lines += [{"type": "console", **msgspec.structs.asdict(info)} for info in consoles]
    return b"".join(map(json_line, lines))


def event_line(event: Event) -> str:
    """An event for a person: when, where, what, why."""
    words = [local_time(event.at), console_name(event.console), printable(event.event)]
    if event.reason is not None:
        words.append(reason_text(event.reason))
    if event.note is not None:
        words.append(printable(event.note if event.detail is None else f"{event.note}: {event.detail}"))
    if event.since is not None:
        words.append(f"from {local_time(event.since)} to {local_time(event.until)}; output may be missing")
    return "  ".join(words) + "\n"


def event_json(event: Event) -> bytes:
    """An event as one line of JSON: six fields, and `from` and `to` with a break, `note` and `detail` with a note."""
    fields: dict[str, object] = {
        "event": event.event,
        "at": event.at,
        "console": event.console,
        "offset": event.offset,
        "mark": event.mark,
        "reason": event.reason,
    }
    if event.event == "break":
        fields |= {"from": event.since, "to": event.until}
    if event.event == "note":
        fields |= {"note": event.note, "detail": event.detail}
    return json_line(fields)


def json_line(value: object) -> bytes:
    """One value as one line of JSON."""
    return msgspec.json.encode(value) + b"\n"
