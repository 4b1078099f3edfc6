"""The segment that grows: how it was left, and appending to it."""

from pathlib import Path

from virtmux.journal.entries import Head
from virtmux.journal.names import INDEX, LOG
from virtmuxd.service.journal.disk import Addition, append, known, look
from virtmuxd.service.journal.segments import file


class Growing:
    """An index and a log, which are there; whatever differs from how they were left was done by somebody else."""

    def __init__(self, home: Path, stem: str, head: Head) -> None:
        self.head = head
        self._index, self._log = file(home, stem, INDEX), file(home, stem, LOG)
        self._left_index, self._left_log = known(self._index), known(self._log)
        self._least = self.size

    @property
    def size(self) -> int:
        """That of both, in bytes."""
        return self._left_index.size + self._left_log.size

    @property
    def is_new(self) -> bool:
        """Whether nothing was appended to it yet."""
        return self.size == self._least

    def changed(self) -> str | None:
        """What somebody did to the files; None where they are as they were left."""
        for path, name, left in ((self._log, "log", self._left_log), (self._index, "index", self._left_index)):
            seen = look(path)
            if seen is None:
                return f"its {name} was moved or deleted"
            if not left.is_file(seen):
                return f"its {name} was replaced"
            if seen.size != left.size:
                return f"its {name} was {'truncated' if seen.size < left.size else 'appended to'}"
        return None

    def append(self, lines: bytes, data: bytes, *, sync: bool) -> None:
        """Append lines to the index, then the bytes that they describe to the log; or nothing, and raise OSError."""
        index, log = self._left_index.size, self._left_log.size
        append(Addition(self._index, index, lines), Addition(self._log, log, data), sync=sync)
        self._left_index = self._left_index._replace(size=index + len(lines))
        self._left_log = self._left_log._replace(size=log + len(data))
