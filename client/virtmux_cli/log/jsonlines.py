"""A log as JSON Lines: an object for each record, whose field `type`, the first, tells what it is. Pure.

{"type":"history","history":ID}                                     the records of this history follow
{"type":"output","offset":N,"at":TIME|null,"text":STRING}           bytes that are UTF-8
{"type":"output","offset":N,"at":TIME|null,"base64":STRING}         others
{"type":"mark","offset":N,"mark":N,"record":{"kind":...}}           as in the protocol
{"type":"gap","offset":N,"mark":N,"to_offset":N,"to_mark":N,"why":STRING|null}
"""

import base64
from typing import assert_never

from virtmux.escapes import PARTIAL_CHARACTER
from virtmux.records import rfc3339
from virtmux_cli.log.records import Chunk, Gap, History, Marked, Record
from virtmux_cli.text import json_line


class JsonLog:
    """The lines. A character that two pieces share is told with the second one."""

    def __init__(self) -> None:
        self._held = Chunk(0, b"", None)

    def render(self, record: Record) -> bytes:
        """See `Rendering`."""
        match record:
            case Chunk():
                return self._output(record)
            case Marked(offset, number, mark):
                fields = {"type": "mark", "offset": offset, "mark": number, "record": mark}
            case Gap():
                fields = {"type": "gap", **record._asdict()}
            case History(id=history):
                fields = {"type": "history", "history": history}
            case _:
                assert_never(record)
        return self.close() + json_line(fields)

    def close(self) -> bytes:
        """See `Rendering`."""
        held, self._held = self._held, Chunk(0, b"", None)
        return _line(held) if held.data else b""

    def _output(self, chunk: Chunk) -> bytes:
        if self._held.data:
            offset, data, at = self._held
            chunk = Chunk(offset, data + chunk.data, at)
        offset, data, at = chunk
        partial = PARTIAL_CHARACTER.search(data, max(len(data) - 3, 0))
        whole = partial.start() if partial else len(data)
        self._held = Chunk(offset + whole, data[whole:], at)
        return _line(Chunk(offset, data[:whole], at)) if whole else b""


def _line(chunk: Chunk) -> bytes:
    offset, data, at = chunk
    fields = {"type": "output", "offset": offset, "at": None if at is None else rfc3339(at)}
    try:
        return json_line({**fields, "text": data.decode()})
    except UnicodeDecodeError:
        return json_line({**fields, "base64": base64.b64encode(data).decode()})
