"""The files of one console: what comes is appended to the segment that grows, which is rotated as it is full.

They are opened for each call: an idle console has no descriptor. What is in the files is the truth: `position` says up
to where that is, also after an OSError, which means that the disk did not take something; the same call again goes on
from there. Somebody may have changed the files meanwhile: what is left of them becomes a finished segment, and what can
be read no more is said to be lost.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace as with_fields

from virtmux.journal.entries import Closed, Entry, Head, Lost, Marked, Opened, Renamed, Stopped, encode
from virtmux.journal.names import BY_ID, INDEX, LOG, component, home
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.service.journal.batches import Batch, Piece, pieces
from virtmuxd.service.journal.disk import (
    Addition,
    append,
    look,
    make_directories,
    make_file,
    replace,
    share,
    sync_directory,
)
from virtmuxd.service.journal.examination import Found, examine, last_position
from virtmuxd.service.journal.growing import Growing
from virtmuxd.service.journal.links import Links
from virtmuxd.service.journal.segments import (
    bring,
    file,
    put_away,
    remove,
    remove_all,
    remove_empty,
    segments,
    trim,
)
from virtmuxd.service.journal.settings import Settings

#: Room that is left in a segment for its last line.
_CLOSING = 128
#: Where a history begins.
_BEGINNING = (0, 1)
#: No boot of any host: of it nothing is believed that does not verify.
_NO_BOOT = ""


class JournalConflictError(Exception):
    """The journal has more of a history than the ring: it cannot go on, since addresses would be used twice. The
    console needs a new history."""


class ConsoleFiles:
    """The journal of one console. Any method may raise OSError, and can be called again."""

    def __init__(self, settings: Settings, links: Links, key: ConsoleKey, domain: str, boot: str) -> None:
        """Touches no file.

        Args:
            boot: the id of this boot of the host.
        """
        self._settings = settings
        self._links = links
        self._domain = domain
        self._boot = boot
        self._place_at(key)
        self._history = ""
        self._offset, self._mark = _BEGINNING
        self._grows: Growing | None = None
        self._named = domain
        """How the segment that grows calls the domain."""
        self._losses: list[Lost] = []
        self._first: list[Entry] = []
        """What the next segment begins with, behind its head."""

    def _place_at(self, key: ConsoleKey) -> None:
        self._key = key
        self._home = home(self._settings.directory, key.hypervisor, key.uuid)
        self._stem = component(key.device)
        self._index, self._log = (file(self._home, self._stem, kind) for kind in (INDEX, LOG))

    @property
    def _syncs(self) -> bool:
        return self._settings.sync != "never"

    @property
    def key(self) -> ConsoleKey:
        """Which console it is now."""
        return self._key

    @property
    def directory(self) -> Path:
        """Where they lie."""
        return self._home

    @property
    def position(self) -> tuple[int, int]:
        """The offset and the mark from where on the journal is to be written."""
        return self._offset, self._mark

    def open(self, history: str, offset: int, mark: int, at: int) -> tuple[int, int]:
        """Go on with what is there. The daemon has this history up to `offset` and `mark` (excluded); gives `position`.

        Where nothing of the history is there that is its beginning. The first segment is made by the first `write`.

        Raises:
            JournalConflictError: the journal has more of it than that.
        """
        self._history, self._grows, self._first = history, None, []
        found = examine(self._home, self._stem, self._boot)
        over = None if found is None else self._over(found, offset, mark)
        if found is not None and over is None:
            self._offset, self._mark = found.walk.position
            self._go_on(found, at)
            return self.position
        if found is not None and over is not None:
            self._close(found, over, at)
        put_away(self._home, self._stem)
        trim(self._home, self._stem, self._settings.keep)
        if (offset, mark) != _BEGINNING:
            self._gather()
        here = last_position(self._home, self._stem, history) or _BEGINNING
        if here[0] > offset or here[1] > mark:
            raise JournalConflictError(f"{history}:{offset}:{mark} is older than the journal, which has {here}")
        self._offset, self._mark = here
        return here

    def _over(self, found: Found, offset: int, mark: int) -> str | None:
        """Why nothing more may come into the segment that was found; None where it goes on."""
        walk, head = found.walk, found.walk.head
        unclean = walk.boot != self._boot and not found.clean
        reasons = {
            "rotated": isinstance(walk.last, Closed),
            found.wrong: found.wrong is not None,
            "a new history began": head.history != self._history,
            "moved": ConsoleKey(head.hypervisor, head.uuid, head.device) != self._key,
            "its ring is older than it": walk.offset > offset or walk.mark > mark,
            "the host was restarted without a clean stop of virtmuxd": unclean,
        }
        return next((why for why, applies in reasons.items() if applies), None)

    def _go_on(self, found: Found, at: int) -> None:
        """Write into the segment that was found. That it was stopped counts once, from when this is on the disk."""
        self._write_index(found, Opened(self._boot, at), sync=found.clean)
        make_directories(self._settings.directory, self._home, self._settings.group)
        for path in (self._index, self._log):
            share(path, self._settings.group)
        self._named = found.walk.domain
        self._grows = Growing(self._home, self._stem, found.walk.head)
        self._links.place(self._home, self._domain)

    def _close(self, found: Found, why: str, at: int) -> None:
        """Finish the segment that was found: only what is true stays in its index. Of its log nothing is taken away,
        except what another boot left there."""
        if found.cut is not None and (log := look(self._log)) and log.size > found.cut:
            os.truncate(self._log, found.cut)
        if found.index != found.was or not isinstance(found.walk.last, Closed):
            last = () if isinstance(found.walk.last, Closed) else (Closed(at, why),)
            self._write_index(found, *last, sync=True)

    def write(
        self, batches: Sequence[Batch], marks: Sequence[Marked], at: int, why_lost: str = "the ring held them no more"
    ) -> None:
        """Append output and marks, each in order. What is before `position` is there already, and is left out; bytes
        that are missing before a batch are lost, and `why_lost` says why."""
        if not batches and not marks and (self._grows is None or self._named == self._domain):
            return
        grows = self._ready(at)
        room = self._settings.size - grows.size - _CLOSING
        run: list[Piece] = []
        if self._named != self._domain:
            run.append(Piece(encode(Renamed(self._domain, at)), b"", *self.position))
        for piece in pieces(self.position, batches, marks, at, why_lost):
            if piece.size > room and (run or not grows.is_new):
                self._append(grows, run)
                self._finish(grows, "rotated", at)
                grows, run = self._ready(at), []
                room = self._settings.size - grows.size - _CLOSING
            run.append(piece)
            room -= piece.size
        self._append(grows, run)

    def rename(self, domain: str, at: int) -> None:
        """The domain has this name from now on. Where the disk does not take that, the next `write` says it."""
        self._domain = domain
        if self._home.is_dir():
            self._links.place(self._home, domain)
        self.write((), (), at)

    def stop(self, stopped: Stopped) -> None:
        """Record a clean stop: the last call. Of a console that was never used nothing is kept."""
        unused = (stopped.offset, stopped.mark) == self.position == _BEGINNING and stopped.released_until is None
        if unused and self._grows is None:
            return
        grows = self._ready(stopped.at)
        # Near the end, where a daemon that starts looks.
        name = encode(Renamed(self._domain, stopped.at)) if self._domain != grows.head.domain else b""
        grows.append(name + encode(stopped), b"", sync=self._syncs)

    def move(self, hypervisor: str, at: int) -> None:
        """The guest is on another hypervisor from now on. Another history that the console has there is put aside."""
        there = home(self._settings.directory, hypervisor, self._key.uuid)
        if self._grows is not None and self._grows.changed() is None:
            self._finish(self._grows, "moved", at)
        self._grows = None
        if segments(self._home, self._stem) or segments(there, self._stem):
            make_directories(self._settings.directory, there, self._settings.group)
            bring(self._home, there, self._stem, self._history)
            self._links.place(there, self._domain)
        if not self._home.exists():
            self._links.remove(self._home)
        self._place_at(self._key._replace(hypervisor=hypervisor))

    def _gather(self) -> None:
        """Bring what lies on another hypervisor still, because somebody died while the console moved."""
        for other in (self._settings.directory / BY_ID).glob(f"*/{component(self._key.uuid)}"):
            found = segments(other, self._stem) if other != self._home else []
            if any(each.head is not None and each.head.history == self._history for each in found):
                make_directories(self._settings.directory, self._home, self._settings.group)
                bring(other, self._home, self._stem, self._history)
                if not other.exists():
                    self._links.remove(other)

    def forget(self, offset: int = 0, mark: int = 1) -> None:
        """Remove all files of the console, and its guest's directory and link where no others are left.

        What is written next is at `offset` and `mark` or behind.
        """
        self._offset, self._mark = offset, mark
        self._grows, self._first = None, []
        remove_all(self._home, self._stem)
        remove_empty(self._home)
        if not self._home.exists():
            self._links.remove(self._home)

    def drop_current(self, at: int) -> bool:
        """Remove the segment that grows, and begin another, so that the journal knows where it is.

        False, and nothing is done, where it is not as it was left.
        """
        if self._grows is None or self._grows.changed() is not None:
            return False
        for segment in segments(self._home, self._stem):
            if segment.number is None:
                remove(segment)
        self._grows = None
        with suppress(OSError):  # the next write begins it
            self._ready(at)
        return True

    def _ready(self, at: int) -> Growing:
        """The segment that grows, as it was left; one that somebody changed is finished."""
        if self._grows is not None and (why := self._grows.changed()) is not None:
            self._displaced(self._grows, why, at)
        return self._grows if self._grows is not None else self._begin(at)

    def _displaced(self, grows: Growing, why: str, at: int) -> None:
        """Finish what is left of a segment that somebody changed, and remember what can be read no more.

        Nothing died here: what does not verify, such as a part of a batch, may be somebody else's.
        """
        found = examine(self._home, self._stem, _NO_BOOT)
        readable = grows.head.offset
        if found is not None and with_fields(found.walk.head, inode=grows.head.inode) == grows.head:
            self._close(with_fields(found, cut=None), why, at)
            readable = found.walk.offset
            # What a write left that failed and could not be undone is true as well.
            self._offset, self._mark = max(self._offset, readable), max(self._mark, found.walk.mark)
        lost = Lost(readable, self._offset, why, at)
        self._first = [lost]
        self._losses.append(lost)
        self._grows = None

    def take_losses(self) -> list[Lost]:
        """What somebody did to the files since the last call, and the bytes that can be read no more because of it."""
        losses, self._losses = self._losses, []
        return losses

    def _begin(self, at: int) -> Growing:
        settings, key = self._settings, self._key
        make_directories(settings.directory, self._home, settings.group)
        put_away(self._home, self._stem)
        trim(self._home, self._stem, settings.keep)
        log = make_file(self._log, settings.group)
        head = Head(
            history=self._history,
            offset=self._offset,
            mark=self._mark,
            hypervisor=key.hypervisor,
            uuid=key.uuid,
            device=key.device,
            domain=self._domain,
            boot=self._boot,
            at=at,
            inode=log.inode,
        )
        replace(self._index, b"".join(map(encode, [head, *self._first])), settings)
        self._named, self._first = self._domain, []
        self._grows = Growing(self._home, self._stem, head)
        self._links.place(self._home, self._domain)
        if self._syncs:
            sync_directory(self._home)
        return self._grows

    def _finish(self, grows: Growing, why: str, at: int) -> None:
        """Nothing more comes into the segment that grows; it is put away before the next one begins."""
        grows.append(encode(Closed(at, why)), b"", sync=self._syncs)
        self._grows = None

    def _append(self, grows: Growing, run: Sequence[Piece]) -> None:
        if run:
            lines, data = b"".join(piece.line for piece in run), b"".join(piece.data for piece in run)
            grows.append(lines, data, sync=self._settings.sync == "batch")
            self._offset, self._mark = run[-1].offset, run[-1].mark
            self._named = self._domain

    def _write_index(self, found: Found, *more: Entry, sync: bool) -> None:
        """Make the index hold what is true, and these lines; where files are flushed at all, behind the log's bytes."""
        lines = b"".join(map(encode, more))
        sync = sync and self._syncs
        if sync and (log := look(self._log)) is not None and log.regular:
            append(Addition(self._log, log.size, b""), sync=True)
        if found.index == found.was:
            append(Addition(self._index, len(found.was), lines), sync=sync)
        else:
            replace(self._index, found.index + lines, self._settings)
