"""The lines of a journal's index. Pure.

A line is the CRC32C of its JSON text in 8 hex digits, a blank, and that text: one object, tagged by its `entry` field.
So a line that was cut, zeroed or changed anywhere is told from a whole one.

A segment's index begins with `Head`. A `Batch` stands before its bytes are written to the log: that the log is shorter
than its index says means that the last batches are not there. Bytes lie in the log in the order of the batches.
"""

from collections.abc import Iterator
from typing import Annotated

from crc32c import crc32c
from msgspec import DecodeError, Meta, Struct
from msgspec.json import Decoder, Encoder

from virtmux.records import Mark
from virtmux.wire import U32, U63

FORMAT = 1
"""The version of all this, as a `Head` names it."""

_DIGITS = 8


_RunningId = Annotated[int, Meta(ge=-1, le=(1 << 31) - 1)]


class DamagedError(ValueError):
    """A line of an index is not as it was written."""


class Head(Struct, frozen=True, tag_field="entry", tag="head", kw_only=True):
    """The first line of a segment: whose it is, and where its records begin.

    `offset` and `mark` are those of the first record that it may hold. `inode` is that of the log, which finds it also
    where somebody has renamed it. `boot` is the host's boot id (32 hex digits), `at` a time in ns.
    """

    format: int = FORMAT
    history: str
    offset: U63
    mark: U63
    hypervisor: str
    uuid: str
    device: str
    domain: str
    boot: str
    at: U63
    inode: int


class Opened(Struct, frozen=True, tag_field="entry", tag="opened"):
    """A daemon goes on with this segment: what follows was received in this boot."""

    boot: str
    at: U63


class Batch(Struct, frozen=True, tag_field="entry", tag="batch"):
    """Bytes: those from `offset` on, `size` of them, with their CRC32C.

    `at` is when the first of them was received (ns). `beats` says when the others were: the first `size` bytes at `at`
    plus so many ms, and so on; their sizes add up to `size`.
    """

    offset: U63
    size: U63
    crc: U32
    at: U63
    beats: tuple[tuple[U63, U63], ...]

    @property
    def end(self) -> int:
        """The offset behind its last byte."""
        return self.offset + self.size


class Marked(Struct, frozen=True, tag_field="entry", tag="mark", gc=False):
    """A mark, final, in the order of the numbers. It may stand behind batches whose offsets are greater."""

    number: U63
    offset: U63
    record: Mark


class Lost(Struct, frozen=True, tag_field="entry", tag="lost"):
    """The bytes from `offset` to `to_offset` (excluded) are not in the journal, for this reason; `to_offset` may be
    `offset` where something was wrong and nothing is lost."""

    offset: U63
    to_offset: U63
    why: str
    at: U63


class Renamed(Struct, frozen=True, tag_field="entry", tag="renamed"):
    """The domain has this name from now on."""

    domain: str
    at: U63


class Stopped(Struct, frozen=True, tag_field="entry", tag="stopped", kw_only=True):
    """A clean stop of the daemon: with this the history can go on after another boot of the host.

    `offset` and `mark` come next. `incarnation` is the newest, whose running id was `running_id` (-1: it does not run);
    the newest of which there are records is `boot_incarnation`, and began at `boot_offset` and `boot_mark`. The other
    two are times (ns) of the console: until when it was held, and is released.
    """

    at: U63
    offset: U63
    mark: U63
    incarnation: U32
    running_id: _RunningId = -1
    boot_incarnation: U32 = 0
    boot_offset: U63
    boot_mark: U63
    held_until: U63 | None
    released_until: U63 | None


class Closed(Struct, frozen=True, tag_field="entry", tag="closed"):
    """The last line: nothing more comes into this segment, for this reason. `rotated` is the usual one."""

    at: U63
    why: str


Entry = Head | Opened | Batch | Marked | Lost | Renamed | Stopped | Closed
"""A line of an index."""

_encoder = Encoder()
_decoder: Decoder[Entry] = Decoder(Entry)


def encode(entry: Entry) -> bytes:
    """The entry as a line."""
    text = _encoder.encode(entry)
    return b"%0*x %b\n" % (_DIGITS, crc32c(text), text)


def decode(line: bytes) -> Entry:
    """Read a line, which has its newline.

    Raises:
        DamagedError: it is not one that `encode` made.
    """
    checksum, text = line[:_DIGITS], line[_DIGITS + 1 : -1]
    if line[_DIGITS : _DIGITS + 1] != b" " or line[-1:] != b"\n" or checksum != b"%0*x" % (_DIGITS, crc32c(text)):
        raise DamagedError(f"a damaged line: {line[:40]!r}")
    try:
        return _decoder.decode(text)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedError(f"a line that is no entry: {error}") from error


def entries(index: bytes) -> Iterator[tuple[Entry, int]]:
    """The entries of an index up to the first damaged line, each with where it ends (the offset in `index`)."""
    end = 0
    for line in index.splitlines(keepends=True):
        try:
            entry = decode(line)
        except DamagedError:
            return
        end += len(line)
        yield entry, end
