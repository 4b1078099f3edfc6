"""A console's records without a console: a sequence over a store in memory, and what is put into it."""

from tests.harness.memory_store import MemoryStore
from virtmux.reasons import Cause, Phase, Reason
from virtmux.records import Ended, Note
from virtmuxd.core.sequence import Sequence
from virtmuxd.core.store import StoredMark

AT = "2026-01-31T12:00:00.000000Z"
HANDLE = 7


def sequence(capacity: int = 1 << 20) -> Sequence:
    """Records of which so many bytes are held, and no archive."""
    return Sequence(HANDLE, MemoryStore(capacity), unobserved)


def unobserved(_mark: StoredMark) -> None:
    """Most tests look at what readers get."""


def append(records: Sequence, data: bytes) -> None:
    """The guest prints."""
    records.append(data, 1)
    records.publish()


def note(text: str = "rebooted") -> Note:
    """A mark that says that."""
    return Note(AT, text)


def ended(cause: Cause = Cause.STREAM_ENDED) -> Ended:
    """A mark that says why the console ended."""
    return Ended(AT, 1, Reason(cause=cause, text="", phase=Phase.RECEIVE, at=AT))
