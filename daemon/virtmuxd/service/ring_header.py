"""The header of a ring's file: a page of u64 words, what each of them says, and whether they can be trusted."""

from binascii import crc32

PAGE = 4096
"""Bytes of the header; the output follows it."""
FIRST_CAPACITY = 4 * PAGE
"""Bytes of output for which a new ring has room."""

_MAGIC = int.from_bytes(b"VMXRING1", "little")
_MAX_U32, _MAX_U63 = (1 << 32) - 1, (1 << 63) - 1
_LOW = (1 << 64) - 1


class Word:
    """The words, by index. Plain ints: an enum's member takes twice as long, and each packet touches several.
    `CHECKSUM` covers those that never change after creation."""

    MAGIC = 0
    HISTORY_HIGH = 1
    HISTORY_LOW = 2
    CHECKSUM = 3
    BOOT_ID_HIGH = 4  # of the host's boot in which it was used last
    BOOT_ID_LOW = 5
    CAPACITY = 6
    START = 7
    END = 8
    NEXT_MARK = 9
    HELD_UNTIL = 10
    HOLDING = 11  # since when the daemon that holds the console has been running; 0: nobody holds it
    STOPPED = 12
    INCARNATION = 13
    RUNNING_ID = 14  # plus one: 0 is none
    RELEASED_UNTIL = 15  # 0: it is not
    BOOT_INCARNATION = 16  # the newest incarnation of which there are records, and where they begin
    BOOT_OFFSET = 17
    BOOT_MARK = 18


class RingError(Exception):
    """A ring that is there cannot be trusted; the text says why."""


def set_up(words: memoryview, history: int, boot_id: int, capacity: int) -> None:
    """Make all words, which are 0, those of a new history (128 bits)."""
    words[Word.MAGIC] = _MAGIC
    words[Word.HISTORY_HIGH], words[Word.HISTORY_LOW] = history >> 64, history & _LOW
    words[Word.CHECKSUM] = _checksum(words)
    set_boot_id(words, boot_id)
    words[Word.CAPACITY] = capacity
    words[Word.NEXT_MARK] = words[Word.BOOT_MARK] = 1


def set_boot_id(words: memoryview, boot_id: int) -> None:
    """The ring is used in this boot of the host."""
    words[Word.BOOT_ID_HIGH], words[Word.BOOT_ID_LOW] = boot_id >> 64, boot_id & _LOW


def boot_id_of(words: memoryview) -> int:
    """In which boot of the host the ring was used last."""
    return int(words[Word.BOOT_ID_HIGH] << 64 | words[Word.BOOT_ID_LOW])


def history_in(words: memoryview) -> str:
    """The history, in hex."""
    return f"{words[Word.HISTORY_HIGH]:016x}{words[Word.HISTORY_LOW]:016x}"


def verify(words: memoryview, room: int, boot_id: int) -> None:
    """Check a header that was found, in front of `room` bytes.

    Raises:
        RingError: it cannot be trusted in this boot of the host.
    """
    if words[Word.MAGIC] != _MAGIC or words[Word.CHECKSUM] != _checksum(words):
        raise RingError("its header is damaged")
    if boot_id_of(words) != boot_id and not words[Word.STOPPED]:
        raise RingError("the host was restarted without a clean stop of virtmuxd")
    capacity, start, end = words[Word.CAPACITY], words[Word.START], words[Word.END]
    counts = words[Word.NEXT_MARK] > 0 and max(words[Word.INCARNATION], words[Word.BOOT_INCARNATION]) <= _MAX_U32
    fits = all(words[word] <= _MAX_U63 for word in range(Word.START, Word.BOOT_MARK + 1))
    if not (counts and fits and 0 < capacity <= room and start <= end <= start + capacity):
        raise RingError("its bounds are damaged")


def _checksum(words: memoryview) -> int:
    return crc32(words[: Word.CHECKSUM].tobytes())
