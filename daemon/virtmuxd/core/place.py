"""A client's place at one console, as the console sees it."""

from collections.abc import Callable

from virtmux.people import Person, Role
from virtmux.reasons import Reason
from virtmuxd.core.cursor import Cursor
from virtmuxd.core.writer import Writer


class Place:
    """A client's place at one console: who it is, where it reads, whether and what it types, and its role. `by` is who
    has the console exclusively, for a watcher. The console is held for it, if it `holds`.

    `ended` is called where the place is taken away by somebody else than its client. To be inherited from by those who
    want to be told more.
    """

    def __init__(
        self,
        cursor: Cursor,
        writer: Writer,
        ended: Callable[[Reason], None],
        *,
        who: Person,
        holds: bool = True,
        since: int = 0,
    ) -> None:
        """`writer` has a refusal where the client may only watch. `since`: a time (ns)."""
        self.cursor = cursor
        self.writer = writer
        self.ended = ended
        self.who = who
        self.holds = holds
        self.since = since
        self.role = Role.WRITER if writer.refusal is None else Role.READ_ONLY
        self.token: str | None = None
        self.by: Person | None = None

    def tell_role(self, by: Person | None) -> None:
        """Its role is another one now, because of `by`."""

    def tell_company(self) -> None:
        """Others have come or gone, or may do something else."""

    def renamed(self) -> None:
        """The domain has another name, so that other rules may be for it."""
