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
        self._say_line = say
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
        if self._as_json or not self._person:
            return
        self._say(f"Connected to domain '{printable(domain)}'")
        if escape is not None:
            self._say(f"Escape character is {describe_escape(escape)}")

    def role(self, news: RoleNews, console: int) -> None:
        """What this place may do, now or from now on."""
        self._others.alone(news.by if news.role is Role.WATCHER else None)
        if self._as_json:
            self._say_json(RoleChanged(console, news.role, news.by))
        elif self._person or news.before is not None:
            self._say(f"virtmux: {role_text(news)}")

    def company(self, company: Company) -> None:
        """Who else is there now."""
        news = self._others.news(company)
        if news and self._as_json:
            self._say_json(company)
        elif news and self._person:
            self._say(f"virtmux: {news}")

    def live_again(self) -> None:
        """A console that had ended is attached."""
        if not self._as_json:
            self._say("virtmux: attached again")

    def end(self, end: End, *, begun: bool, option: str | None = None) -> None:
        """A console's end. The one that ends the command with a failure is told even when quiet."""
        if self._as_json:
            self._say_json(end.reason, always=bool(end.status))
        else:
            self._say(end_line(end.reason, end.status, begun=begun, option=option), always=bool(end.status))

    def replayed(self, what: Reason | Note) -> None:
        """An end of long ago, or what happened to the guest then."""
        if self._as_json:
            self._say_json(what)
        else:
            self._say(replayed_line(what))

    def missing(self, what: Gap | Break | Breaks | OtherHistory | Withheld) -> None:
        """Output is missing here, or may be."""
        match what:
            case OtherHistory() if self._as_json:
                self._say_json({"type": "other-history"})
            case Withheld() if self._as_json:
                self._say_json({"type": "withheld"})
            case _ if self._as_json:
                self._say_json(what)
            case Gap():
                self._say(gap_line(what))
            case Break():
                self._say(break_line(what))
            case Breaks():
                self._say(breaks_line(what.first, what.last))
            case OtherHistory():
                self._say("virtmux: the console's history up to here is gone; output may be missing here")
            case Withheld():
                self._say("virtmux: what the guest said before is not shown: you have no right to read it")

    def note(self, note: Note) -> None:
        """Something that happened to the guest."""
        if self._as_json:
            self._say_json(note)
        else:
            self._say(note_line(note))

    def input_lost(self, reason: Reason, size: int, lost: int) -> None:
        """Input that did not reach the guest, or perhaps did not."""
        if self._as_json:
            self._say_json({"type": "input-lost", "size": size, "lost": lost, "reason": reason})
        else:
            self._say(f"virtmux: {lost} of {size} bytes of input may not have arrived: {printable(reason.text)}")

    def input_held(self, domain: str, waiting: int, accepted: int) -> None:
        """Input begins to wait because the guest takes none."""
        if self._as_json:
            self._say_json({"type": "input-held", "waiting": waiting, "accepted": accepted})
        else:
            counts = f"{waiting} bytes of input wait, {accepted} were accepted"
            self._say(f"virtmux: guest {printable(domain)} takes no input now: {counts}")

    def input_left(self, unsent: int, under_way: int) -> None:
        """Input, in bytes, that was not sent as the command ends; and what was and may still arrive."""
        if self._as_json:
            self._say_json({"type": "input-left", "unsent": unsent, "under_way": under_way})
        elif not under_way:
            self._say(f"virtmux: {unsent} bytes of input were not delivered")
        elif not unsent:
            self._say(f"virtmux: {under_way} bytes of input may still be delivered")
        else:
            self._say(f"virtmux: {unsent} bytes of input were not delivered, {under_way} before them may still be")

    def input_not_sent(self, by: Person | None) -> None:
        """What is typed is dropped, because this place may only watch: `by` has the console alone."""
        if self._as_json:
            self._say_json({"type": "input-not-sent", "by": by})
        else:
            self._say(f"virtmux: {not_sent_text(by)}")

    def input_waits(self, by: Person | None) -> None:
        """What is piped waits, for the same reason."""
        if self._as_json:
            self._say_json({"type": "input-waits", "by": by})
        else:
            self._say(f"virtmux: {waits_text(by)}")

    def input_dropped(self, size: int | None) -> None:
        """What is typed while nothing is attached, or was before that, in bytes where they can be counted."""
        if self._as_json:
            self._say_json({"type": "input-dropped", "size": size})
        elif size is None:
            self._say("virtmux: nothing is attached: what is typed now is dropped")
        else:
            self._say(f"virtmux: {size} bytes of input that were typed before were dropped")

    def failed(self, reason: Reason) -> None:
        """Why the command ends before it has begun."""
        if self._as_json:
            self._say_json(reason, always=True)
        else:
            self._say(error_line(reason), always=True)

    def complain(self, line: str) -> None:
        """A failure that has no Reason."""
        if self._as_json:
            self._say_json({"type": "failure", "text": line}, always=True)
        else:
            self._say(f"virtmux: {printable(line)}", always=True)

    def _say_json(self, value: object, *, always: bool = False) -> None:
        self._say(json_line(value).decode().rstrip(), always=always)

    def _say(self, line: str, *, always: bool = False) -> None:
        if not self._quiet or always:
            self._say_line(line)
