"""How virtmux words things for a person, and as JSON Lines. Pure, but for the local time zone.

Nothing that a guest, its name or libvirt chose reaches a terminal as anything but printable characters.
"""

import re
from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import assert_never
from unicodedata import combining, east_asian_width

import msgspec

from virtmux.messages import Event, Gap
from virtmux.reasons import Cause, ConsoleId, Phase, Reason
from virtmux.records import Attached, Break, Ended, Mark, Note
from virtmux.sanitize import printable

#: What a person can do about a cause, where it is not plain from the cause.
_HINTS = {
    Cause.CONSOLE_NOT_PTY: "give the device a <serial type='pty'> in the domain's XML",
    Cause.FEATURE_MISSING: "update virtmuxd and restart it",
    Cause.GUEST_UNDEFINED: "define it again, or look for its new name with `virtmux list`",
}
_CONNECTION_HINTS = {
    Cause.ACCESS_DENIED: "`virtmux doctor` says who may",
    Cause.SERVER_LOST: "start virtmuxd, or name its socket with --socket",
}

#: What the options of `attach` that wait would do.
_OPTIONS = {
    "--stay": "waits for its next start",
    "--wait": "waits until it can be attached",
}

_UNUSUAL = re.compile(r"[^\x20-\x7e]+")


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


def replayed_line(what: Reason | Note) -> str:
    """One line for an end of long ago, or for what happened to the guest then."""
    text = note_text(what) if isinstance(what, Note) else reason_text(what)
    return f"virtmux: {local_time(what.at)}: {text}"


def gap_text(offset: int, to_offset: int, marks: int, why: str | None = None) -> str:
    """Records that were there and that this reader is not given: bytes `offset` to `to_offset`, and so many marks."""
    size = to_offset - offset
    text = f"{size} bytes of output are missing here ({offset} to {to_offset})" if size or not marks else ""
    missing = f"{text}, and {marks} marks" if text and marks else text or f"{marks} marks are missing here"
    return missing + (f": {printable(why)}" if why else "")


def gap_line(gap: Gap) -> str:
    """A gap as a line of its own."""
    return f"virtmux: {gap_text(gap.offset, gap.to_offset, gap.to_mark - gap.mark, gap.why)}"


def break_text(record: Break) -> str:
    """A time in which nobody held the console."""
    since, until = local_time(record.since), local_time(record.until)
    return f"nobody held the console from {since} to {until}; output may be missing here"


def break_line(record: Break) -> str:
    """A break as a line of its own."""
    return f"virtmux: {break_text(record)}"


def breaks_line(first: Break, last: Break) -> str:
    """One break as a line of its own, or several by the first and the last."""
    if first == last:
        return break_line(first)
    since, until = local_time(first.since), local_time(last.until)
    return f"virtmux: at times nobody held the console, from {since} to {until}; output may be missing here"


def note_text(record: Note) -> str:
    """Something that happened to the guest."""
    return printable(f"guest {record.note}" + (f": {record.detail}" if record.detail else ""))


def note_line(record: Note) -> str:
    """A note as a line of its own."""
    return f"virtmux: {note_text(record)}"


def mark_text(record: Mark) -> str:
    """A mark of long ago: when, and what."""
    match record:
        case Attached():
            return f"{local_time(record.at)} attached"
        case Ended(reason=reason):
            return f"{local_time(record.at)} {reason_text(reason)}"
        case Break():
            return break_text(record)
        case Note():
            return f"{local_time(record.at)} {note_text(record)}"
        case _:
            assert_never(record)


def history_text(history: str) -> str:
    """The records go on in another history."""
    return f"another history begins here ({printable(history)}); output before it may be missing"


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


def event_line(event: Event, host: str | None = None) -> str:
    """An event for a person: when, where, what, why."""
    words = [local_time(event.at), *([host] if host else []), console_name(event.console), printable(event.event)]
    if event.reason is not None:
        words.append(reason_text(event.reason))
    if event.note is not None:
        words.append(printable(event.note if event.detail is None else f"{event.note}: {event.detail}"))
    if event.event == "journal-gap":
        words.append(f"offsets {event.offset} to {event.to_offset} are not in the journal")
        words += [printable(event.detail)] if event.detail else []
    elif event.event == "journal-failed":
        words.append(printable(event.detail or ""))
    if event.since is not None:
        words.append(f"from {local_time(event.since)} to {local_time(event.until)}; output may be missing")
    return "  ".join(words) + "\n"


def event_json(event: Event, host: str | None = None) -> bytes:
    """An event as one line of JSON: six fields, and what only events of its kind have; of another host also which."""
    fields: dict[str, object] = {"host": host} if host else {}
    fields |= {
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
    if event.event == "journal-failed":
        fields |= {"detail": event.detail}
    if event.event == "journal-gap":
        fields |= {"to_offset": event.to_offset, "detail": event.detail}
    return json_line(fields)


def json_line(value: object) -> bytes:
    """One value as one line of JSON, which does not act on a terminal either."""
    line = msgspec.json.encode(value)
    if not line.isascii() or b"\x7f" in line:
        line = _UNUSUAL.sub(_json_escaped, line.decode()).encode()
    return line + b"\n"


def _json_escaped(unusual: re.Match[str]) -> str:
    text = unusual[0]
    return text if text.isprintable() else "".join(map(_json_character, text))


def _json_character(char: str) -> str:
    if char.isprintable():
        return char
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
