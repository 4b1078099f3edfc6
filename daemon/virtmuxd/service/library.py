"""What is stored of consoles: of those that exist, and of those that do not any more.

What is in the rings is looked at here and now, the journal in threads. What is asked for is given on the loop, by and
by; None where nothing of such a console is stored.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from virtmux.journal.directory import Journal, StoredConsole
from virtmux.journal.entries import Marked
from virtmux.journal.history import History
from virtmux.messages import Event, HistoryInfo, event_of
from virtmux.reasons import ConsoleId
from virtmux.records import Attached, Position, parse_time, rfc3339
from virtmuxd.core.console import Console
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.core.past import PastConsole, PastRecords
from virtmuxd.core.registry import Registry
from virtmuxd.core.store import StoredMark
from virtmuxd.service.journal.archive import DiskArchive
from virtmuxd.service.journal.readers import Readers


class Named(NamedTuple):
    """Whose records are asked for; see `messages.Histories`."""

    domain: str | None
    device: str | None = None
    uri: str | None = None


class Told(NamedTuple):
    """A stored mark, as it was told to those who watched."""

    history: str
    number: int
    event: Event


class HistoryMarks(NamedTuple):
    """Marks of one history, at least one, and the console that it is of, as it was called last."""

    history: str
    console: ConsoleId
    marks: Sequence[Marked | StoredMark]

    def told(self) -> Iterator[Told]:
        """Each of the incarnation that was attached last before it. There may be many: each is made as it is taken."""
        console = self.console
        for mark in self.marks:
            if isinstance(mark.record, Attached):
                console = replace(console, incarnation=mark.record.incarnation)
            yield Told(self.history, mark.number, event_of(console, mark.offset, mark.number, mark.record))


class Forgotten(NamedTuple):
    """That something was to be forgotten, and what of it the disk did not let go."""

    errors: list[OSError]


class _StoredMarks(NamedTuple):
    """What the journal has, and the histories and numbers of all that."""

    marks: list[HistoryMarks]
    known: frozenset[tuple[str, int]]


class _Stored(NamedTuple):
    """A history in the journal, and the newest incarnation in it; found in a thread, since it may have many marks."""

    history: History
    incarnation: int


#: Forgets one console, and says what the disk did not let go.
Forget = Callable[[ConsoleKey, Callable[[OSError | None], None]], None]


class _All:
    """Gives what became of all once each has been told."""

    def __init__(self, number: int, give: Callable[[Forgotten | None], None]) -> None:
        self._left = number
        self._errors: list[OSError] = []
        self._give = give

    def one(self, error: OSError | None) -> None:
        self._left -= 1
        if error is not None:
            self._errors.append(error)
        if not self._left:
            self._give(Forgotten(self._errors))


class Library:
    """See the module."""

    def __init__(self, registry: Registry, journal: Journal, readers: Readers, forget: Forget) -> None:
        """`forget` has the files of a console deleted that does not exist, or is not recorded."""
        self._registry = registry
        self._journal = journal
        self._readers = readers
        self._forget = forget

    def histories(self, named: Named, give: Callable[[list[HistoryInfo] | None], None]) -> None:
        """The histories of some consoles, the oldest of each first."""
        present = {console.key: console for console in self._registry.find_all(*named)}

        def found(stored: list[_Stored] | None) -> None:
            infos = [self._info(each) for each in stored or ()]
            known = {each.history.id for each in stored or ()}
            held = (console for console in present.values() if console.sequence.position.history not in known)
            infos += [_held_info(console) for console in held]
            give(infos or None)

        self._readers.look(partial(self._stored, named, tuple(present)), found)

    def marks(self, named: Named, at: int, give: Callable[[list[HistoryMarks] | None], None]) -> None:
        """The marks of some consoles since a time (ns), in the order of each console's records."""
        present = {console.key: console for console in self._registry.find_all(*named)}

        def found(stored: _StoredMarks | None) -> None:
            marks, known = stored or _StoredMarks([], frozenset())
            held = (_held_marks(console, at, known) for console in present.values())
            told = [*marks, *(each for each in held if each.marks)]
            give(told if told or present or stored is not None else None)

        self._readers.look(partial(self._stored_marks, named, tuple(present), at), found)

    def present(self, named: Named) -> list[Console]:
        """Those of these consoles that exist."""
        return self._registry.find_all(*named)

    def forget(self, named: Named, give: Callable[[Forgotten | None], None]) -> None:
        """Delete what is stored of some consoles."""
        present = self.present(named)
        if present:
            all_ = _All(len(present), give)
            for console in present:
                if console.recorder is not None:
                    console.forget(partial(all_.one, None))
                else:  # it may have been recorded once
                    console.forget(partial(self._forget, console.key, all_.one))
            return

        def found(stored: list[StoredConsole] | None) -> None:
            if not stored:
                give(None)
                return
            all_ = _All(len(stored), give)
            for console in stored:
                self._forget(ConsoleKey(*console[:3]), all_.one)

        self._readers.look(partial(self._consoles, named, ()), found)

    def open(self, named: Named, history: str, give: Callable[[PastConsole | None], None]) -> None:
        """A stored history, for a reader."""

        def found(stored: list[_Stored] | None) -> None:
            give(self._past(stored[0]) if stored else None)

        keys = tuple(console.key for console in self._registry.find_all(*named))
        self._readers.look(partial(self._stored, named, keys, history), found)

    def _past(self, stored: _Stored) -> PastConsole:
        history = stored.history
        handle = self._registry.next_handle()
        archive = DiskArchive(handle, lambda: history, self._readers)
        records = PastRecords(handle, archive, history.oldest, history.end, history.align)
        return PastConsole(self._id(stored), records, archive.close)

    def _id(self, stored: _Stored) -> ConsoleId:
        history = stored.history
        uri = self._registry.uri_of(history.hypervisor)
        domain = history.domains[-1]
        return ConsoleId(history.hypervisor, uri or "", domain, history.uuid, history.device, stored.incarnation)

    def _info(self, stored: _Stored) -> HistoryInfo:
        history = stored.history
        console = self._registry.get(ConsoleKey(history.hypervisor, history.uuid, history.device))
        current = console is not None and console.sequence.position.history == history.id
        start, end = history.oldest, history.end
        if console is not None and current:
            nearest, end = console.sequence.nearest, console.sequence.position
            start = Position(start.history, min(start.offset, nearest.offset), min(start.mark, nearest.mark))
        return HistoryInfo(
            console=console.id if console is not None and current else self._id(stored),
            start=str(start),
            end=str(end),
            since=rfc3339(history.began_at),
            until=rfc3339(history.ended_at),
            current=current,
            stored="disk",
            size=history.size,
        )

    # In threads.

    def _consoles(self, named: Named, keys: tuple[ConsoleKey, ...]) -> list[StoredConsole]:
        """Those that exist by that name, or else those of which something is stored."""
        if named.domain is None:
            return self._journal.consoles()
        if keys:
            return [StoredConsole(*key) for key in keys]
        found = self._journal.find(named.domain, named.device)
        return [each for each in found if named.uri in (None, self._registry.uri_of(each.hypervisor))]

    def _stored(self, named: Named, keys: tuple[ConsoleKey, ...], id_: str | None = None) -> list[_Stored]:
        """Their histories, or the one with this id."""
        histories = (history for each in self._consoles(named, keys) for history in self._journal.histories(each))
        return [_with_incarnation(history) for history in histories if id_ in (None, history.id)]

    def _stored_marks(self, named: Named, keys: tuple[ConsoleKey, ...], at: int) -> _StoredMarks | None:
        stored = self._stored(named, keys)
        if not stored:
            return None
        all_ = (HistoryMarks(each.history.id, self._id(each), each.history.marks_since(at)) for each in stored)
        found = [each for each in all_ if each.marks]
        return _StoredMarks(found, frozenset((each.history, mark.number) for each in found for mark in each.marks))


def _with_incarnation(history: History) -> _Stored:
    return _Stored(history, max((each.number for each in history.incarnations()), default=0))


def _held_marks(console: Console, at: int, known: frozenset[tuple[str, int]]) -> HistoryMarks:
    """Those that are not `known`; there may be none."""
    history = console.sequence.position.history
    marks = (mark for mark in console.sequence.final_marks(0) if (history, mark.number) not in known)
    return HistoryMarks(history, console.id, [mark for mark in marks if parse_time(mark.record.at) >= at])


def _held_info(console: Console) -> HistoryInfo:
    records = console.sequence
    marks = records.final_marks(0)
    spoke_at = console.machine.silence.spoke_at
    return HistoryInfo(
        console=console.id,
        start=str(records.oldest),
        end=str(records.position),
        since=marks[0].record.at if marks else None,
        until=None if spoke_at is None else rfc3339(spoke_at),
        current=True,
        stored="memory",
        size=0,
    )
