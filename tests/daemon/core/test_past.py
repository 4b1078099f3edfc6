"""A console of which there are only records: what its one client is given, and what it cannot do."""

from collections.abc import Callable

import pytest

from tests.harness.archived import ScriptedArchive
from tests.harness.placed import ALICE, not_evicted, unheard
from tests.harness.records import HANDLE
from virtmux.messages import ConsoleInfo, Gap, State, encode
from virtmux.people import Role
from virtmux.reasons import ConsoleId
from virtmux.records import Position, rfc3339
from virtmux.wire import ProtocolError, encode_output
from virtmuxd.core.archive import Page
from virtmuxd.core.cursor import Cursor, Lag
from virtmuxd.core.past import PastConsole, PastRecords
from virtmuxd.core.place import Place
from virtmuxd.core.writer import Writer

HISTORY = "a" * 32
OLDEST, END = Position(HISTORY, 10, 2), Position(HISTORY, 20, 4)
#: The records that are left of it, as frames of the archive.
PAGES = (
    Page(encode_output(HANDLE, 10, b"01234"), 15, 2),
    Page(b"marks", 15, 4),
    Page(encode_output(HANDLE, 15, b"56789"), 20, 4),
)


class Past:
    """Such a console, and a place at it that begins with the oldest record."""

    def __init__(self, align: Callable[[Position], Position] = lambda position: position) -> None:
        self.archive = ScriptedArchive()
        self.records = PastRecords(HANDLE, self.archive, OLDEST, END, align)
        self.closed = 0
        id_ = ConsoleId("qemu/system/4a6b", "", "web1", "5d3f9a5e-0000-4000-8000-000000000001", "serial0", 3)
        self.console = PastConsole(id_, self.records, self._close)
        self.woken = 0
        self.cursor = Cursor(OLDEST.offset, OLDEST.mark, self._wake, lag=Lag(0, 0, leaves=True))
        self.place = Place(self.cursor, Writer(unheard), not_evicted, who=ALICE)

    def _close(self) -> None:
        self.closed += 1

    def _wake(self) -> None:
        self.woken += 1

    def take(self) -> bytes | None:
        return self.records.take(self.cursor)


# Reading.


def test_all_that_is_left_comes_from_the_archive_and_then_nothing() -> None:
    past = Past()

    assert (past.take(), past.take()) == (None, None), "it waits for the archive, which is asked once"
    assert past.archive.asked == [((10, 2), (20, 4))]
    past.archive.answer(*PAGES)

    assert past.woken == 1
    assert [past.take() for _ in PAGES] == [page.frame for page in PAGES]
    assert (past.take(), len(past.archive.asked)) == (None, 1)


def test_what_the_archive_gives_by_parts_is_asked_for_from_where_the_last_ended() -> None:
    past = Past()
    past.take()
    past.archive.answer(*PAGES[:2])

    assert [past.take() for _ in range(3)] == [PAGES[0].frame, PAGES[1].frame, None]
    assert past.archive.asked[1:] == [((15, 4), (20, 4))]


def test_what_the_archive_has_no_more_is_a_gap() -> None:
    past = Past()
    past.take()
    past.archive.answer(PAGES[0])
    past.take()
    past.take()
    past.archive.answer()

    assert past.take() == encode(Gap(HANDLE, 15, 2, 20, 4))
    assert (past.take(), past.cursor.point) == (None, (20, 4))


def test_nothing_comes_any_more_so_that_nobody_is_woken_or_too_slow() -> None:
    past = Past()
    past.records.park(past.cursor)

    assert (past.woken, past.records.too_slow(past.cursor)) == (0, None)


def test_it_tells_where_its_records_begin_and_end() -> None:
    records = Past().records

    assert (records.handle, records.oldest, records.nearest) == (HANDLE, OLDEST, OLDEST)
    assert (records.position, records.end) == (END, 20)


@pytest.mark.parametrize(("offset", "mark"), [(15, 0), (20, 4), (0, 0)])
def test_the_history_knows_what_a_position_in_it_means(offset: int, mark: int) -> None:
    meant = Position(HISTORY, 1, 1)
    asked: list[Position] = []

    def align(position: Position) -> Position:
        asked.append(position)
        return meant

    assert Past(align).records.align(Position(HISTORY, offset, mark)) is meant
    assert asked == [Position(HISTORY, offset, mark)]


@pytest.mark.parametrize(("offset", "mark"), [(21, 4), (21, 0), (20, 5), (0, 5)])
def test_a_position_ahead_of_its_records_is_refused(offset: int, mark: int) -> None:
    asked = Position(HISTORY, offset, mark)

    with pytest.raises(ValueError, match=f"{asked} is ahead of the records, which end at {END}"):
        Past().records.align(asked)


# What its client may do, and is told.


def test_its_client_can_but_read_whatever_it_may_elsewhere() -> None:
    past = Past()
    company = past.console.company
    company.enter(past.place, 1)
    company.permit(past.place, types=True, alone=True)
    company.owner_but(None)
    company.expire("token")
    company.confirm(past.place)

    assert past.place.role is Role.READ_ONLY
    assert company.others(past.place) == ([], 0)
    with pytest.raises(ProtocolError, match="attachment 3 of a console that is only stored"):
        company.type(past.place, 3, 0, b"reboot\n")
    assert past.closed == 0


def test_what_was_opened_for_its_client_is_closed_as_that_leaves() -> None:
    past = Past()
    past.console.company.enter(past.place, 1)
    past.console.company.leave(past.place, 2)

    assert past.closed == 1


def test_it_is_shown_as_a_console_that_is_absent() -> None:
    console = Past().console

    assert console.why_not is None
    assert console.info() == ConsoleInfo(
        console=HANDLE,
        id=console.id,
        state=State.ABSENT,
        since=rfc3339(0),
        running=False,
        backend="",
        clients=1,
        attachment=None,
        position=str(END),
        last_output=None,
        last_end=None,
        exclusive=False,
        paused=False,
        policy="never",
        released=None,
        journal="disk",
    )
