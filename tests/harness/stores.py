"""What is put into stores of records, and what they hold."""

from virtmux.records import Note
from virtmuxd.core.store import Store, StoredMark

AT = "2026-01-31T12:00:00.000000Z"


def contents(store: Store) -> bytes:
    """All that a store holds, read in pieces as a reader would."""
    pieces: list[bytes] = []
    offset = store.start
    while offset < store.end:
        piece = store.read(offset, 5000)
        assert 1 <= len(piece) <= 5000
        pieces.append(piece)
        offset += len(piece)
    return b"".join(pieces)


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes that do not repeat within any ring of these tests."""
    return b"".join((seed + number).to_bytes(4, "big") for number in range(size // 4 + 1))[:size]


def note(number: int, offset: int = 0, *, reserved: bool = False, text: str = "rebooted") -> StoredMark:
    return StoredMark(number, offset, Note(AT, text), reserved)
