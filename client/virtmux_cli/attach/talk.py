"""What `attach` says on stderr beside the guest's output: lines for a person, or JSON Lines."""

import contextlib
import os
from collections.abc import Callable

from virtmux.messages import Company, Gap, RoleChanged
from virtmux.people import Person, Role
from virtmux.reasons import Reason
from virtmux.records import Break, Note
from virtmux.sanitize import printable
from virtmux_cli.attach.abridged import Breaks
from virtmux_cli.attach.company import Others, RoleNews, not_sent_text, role_text, waits_text
from virtmux_cli.attach.escape import describe_escape
from virtmux_cli.attach.state import End, OtherHistory, Withheld
from virtmux_cli.text import (
    break_line,
    breaks_line,
    end_line,
    error_line,
    gap_line,
    json_line,
    note_line,
    replayed_line,
)

_STDERR = 2


def on_stderr(line: str, *, before: str = "", newline: str = "\n") -> None:
    """Say a line, whether anybody listens or not."""
    with contextlib.suppress(OSError):
        os.write(_STDERR, f"{before}{line}{newline}".encode(errors="replace"))


class Talk:
    """Speaks a line at a time. In JSON, a line that has a `cause` is a Reason; `type` or `kind` tell the others."""

    def __init__(self, say: Callable[[str], None], *, person: bool, as_json: bool, quiet: bool) -> None:
        """`say` says a line; `person`: somebody sits at a terminal, at stdin's or stderr's."""
        self._say = say
        self._person = person
        self._as_json = as_json
        self._quiet = quiet
        self._others = Others((os.getuid(), os.getpid()))

    @property
    def tells_company(self) -> bool:
        """Whether anybody is to hear who else is there: no log of a pipe's that did not ask for it."""
        return (self._person or self._as_json) and not self._quiet

    def connected(self, domain: str, escape: bytes | None) -> None:
        """The lines that virsh prints on a terminal and that other tools match."""
        if self._person:
            self._tell(f"Connected to domain '{printable(domain)}'", None)
            if escape is not None:
                self._tell(f"Escape character is {describe_escape(escape)}", None)

    def role(self, news: RoleNews, console: int) -> None:
        """What this place may do, now or from now on."""
        self._others.alone(news.by if news.role is Role.WATCHER else None)
        line = f"virtmux: {role_text(news)}" if self._person or news.before is not None else None
        self._tell(line, RoleChanged(console, news.role, news.by))

    def company(self, company: Company) -> None:
        """Who else is there now."""
        if news := self._others.news(company):
            self._tell(f"virtmux: {news}" if self._person else None, company)

    def live_again(self) -> None:
        """A console that had ended is attached."""
        self._tell("virtmux: attached again", None)

    def end(self, end: End, *, begun: bool, option: str | None = None) -> None:
        """A console's end. The one that ends the command with a failure is told even when quiet."""
        line = end_line(end.reason, end.status, begun=begun, option=option)
        self._tell(line, end.reason, always=bool(end.status))

    def replayed(self, what: Reason | Note) -> None:
        """An end of long ago, or what happened to the guest then."""
        self._tell(replayed_line(what), what)

    def missing(self, what: Gap | Break | Breaks | OtherHistory | Withheld) -> None:
        """Output is missing here, or may be."""
        match what:
            case Gap():
                self._tell(gap_line(what), what)
            case Break():
                self._tell(break_line(what), what)
            case Breaks(first, last):
                self._tell(breaks_line(first, last), what)
            case OtherHistory():
                line = "virtmux: the console's history up to here is gone; output may be missing here"
                self._tell(line, {"type": "other-history"})
            case Withheld():
                line = "virtmux: what the guest said before is not shown: you have no right to read it"
                self._tell(line, {"type": "withheld"})

    def note(self, note: Note) -> None:
        """Something that happened to the guest."""
        self._tell(note_line(note), note)

    def input_lost(self, reason: Reason, size: int, lost: int) -> None:
        """Input, in bytes, that did not reach the guest, or perhaps did not."""
        line = f"virtmux: {lost} of {size} bytes of input may not have arrived: {printable(reason.text)}"
        self._tell(line, {"type": "input-lost", "size": size, "lost": lost, "reason": reason})

    def input_held(self, domain: str, waiting: int, accepted: int) -> None:
        """Input, in bytes, begins to wait because the guest takes none."""
        counts = f"{waiting} bytes of input wait, {accepted} were accepted"
        line = f"virtmux: guest {printable(domain)} takes no input now: {counts}"
        self._tell(line, {"type": "input-held", "waiting": waiting, "accepted": accepted})

    def input_left(self, unsent: int, under_way: int) -> None:
        """Input, in bytes, that was not sent as the command ends; and what was and may still arrive."""
        if not under_way:
            line = f"virtmux: {unsent} bytes of input were not delivered"
        elif not unsent:
            line = f"virtmux: {under_way} bytes of input may still be delivered"
        else:
            line = f"virtmux: {unsent} bytes of input were not delivered, {under_way} before them may still be"
        self._tell(line, {"type": "input-left", "unsent": unsent, "under_way": under_way})

    def input_not_sent(self, by: Person | None) -> None:
        """What is typed is dropped, because this place may only watch: `by` has the console alone."""
        self._tell(f"virtmux: {not_sent_text(by)}", {"type": "input-not-sent", "by": by})

    def input_waits(self, by: Person | None) -> None:
        """What is piped waits, for the same reason."""
        self._tell(f"virtmux: {waits_text(by)}", {"type": "input-waits", "by": by})

    def input_dropped(self, size: int | None) -> None:
        """What is typed while nothing is attached, or was before that, in bytes where they can be counted."""
        if size is None:
            line = "virtmux: nothing is attached: what is typed now is dropped"
        else:
            line = f"virtmux: {size} bytes of input that were typed before were dropped"
        self._tell(line, {"type": "input-dropped", "size": size})

    def failed(self, reason: Reason) -> None:
        """Why the command ends before it has begun."""
        self._tell(error_line(reason), reason, always=True)

    def complain(self, line: str) -> None:
        """A failure that has no Reason."""
        self._tell(f"virtmux: {printable(line)}", {"type": "failure", "text": line}, always=True)

    def _tell(self, line: str | None, value: object, *, always: bool = False) -> None:
        """A line for a person, or what stands for it in JSON; None: nothing is said there. `always`: when quiet too."""
        if self._quiet and not always:
            return
        if self._as_json:
            line = None if value is None else json_line(value).decode().rstrip()
        if line is not None:
            self._say(line)
