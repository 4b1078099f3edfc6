"""A client at a stepped daemon's console, which holds all that it is told against the model of that."""

import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.harness.console_model import History
from virtmux.messages import (
    Attach,
    ClientHello,
    Confirm,
    DaemonHello,
    DaemonMessage,
    Gap,
    Goodbye,
    InputStatus,
    MarkMessage,
    Place,
    encode,
)
from virtmux.records import Attached, Position
from virtmux.session import ClientSession
from virtmux.wire import Output, encode_input

#: Clients that can be told apart by a byte that they typed.
MOST = 8


class Manner(NamedTuple):
    """How a client behaves: what it asks for where it has no position, and how much it reads at a time."""

    replay: str | None
    pace: int


@dataclass
class Typed:
    """What was typed within an attachment, at which boot, and the last that was told of it."""

    attachment: int
    boot: int
    data: bytearray = field(default_factory=bytearray)
    status: InputStatus = field(default_factory=lambda: InputStatus(0, 0, 0))

    @property
    def settled(self) -> int:
        return self.status.accepted + self.status.unknown + self.status.rejected

    def check(self, line: bytes) -> None:
        """`line` is what came of it to the boot."""
        assert line == self.data[: len(line)]
        assert self.status.accepted <= len(line)
        assert not self.status.rejected or len(line) <= self.status.accepted + self.status.unknown
        assert self.settled <= len(self.data)


class Visitor:
    """Comes in by `connection` and takes a place: at `position`, or where there is none as it is its manner.

    `told` counts what it is told, by kind.
    """

    def __init__(
        self,
        number: int,
        connection: socket.socket,
        manner: Manner,
        position: Position | None,
        *,
        histories: Callable[[str], History],
        told: Counter[str],
    ) -> None:
        self.number, self.manner = number, manner
        #: What it has is all before that.
        self.position = position
        self.is_gone = False
        #: By attachment, as it was told of them.
        self.typed: list[Typed] = []
        self._asked = position
        self._connection = connection
        self._histories = histories
        self._told = told
        self._session = ClientSession()
        self._console = self._live_from = 0
        wanted = (None, manner.replay) if position is None else (str(position), None)
        self._say(ClientHello(), Attach(1, "web1", position=wanted[0], replay=wanted[1]))

    def _say(self, *said: ClientHello | Attach | Confirm) -> None:
        self._connection.sendall(b"".join(encode(each) for each in said))

    def read(self, size: int | None = None) -> bool:
        """Take some of what came; gives whether there was anything."""
        try:
            data = self._connection.recv(self.manner.pace if size is None else size)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            data = b""
        if not data:
            self.leave()
        for told in self._session.receive(data):
            self._take(told)
            self.position = self._session.positions.get(self._console, self.position)
        return bool(data)

    def leave(self) -> None:
        self.is_gone = True
        self._connection.close()

    @property
    def _history(self) -> History:
        assert self.position is not None
        return self._histories(self.position.history)

    def _take(self, told: DaemonMessage | Output) -> None:
        """That each record begins where the one before ended, the session holds."""
        self._told[type(told).__name__] += 1
        match told:
            case Place():
                self._placed(told)
            case Output(offset=offset, data=data):
                assert self._history.output[offset : offset + len(data)] == data
            case MarkMessage(offset=offset, mark=number, record=record):
                assert (type(record).__name__.lower(), offset) == self._history.marks[number - 1]
                if isinstance(record, Attached) and number >= self._live_from:
                    self._begin(record.attachment, record.incarnation)
            case Gap():
                assert told.mark == told.to_mark, "no mark is ever missing"
                assert all(self._history.nowhere[told.offset : told.to_offset]), "a gap for what was always there"
            case InputStatus():
                self._learn(told)
            case DaemonHello() | Goodbye():
                pass
            case _:
                raise AssertionError(f"nothing of this kind was to come: {told}")

    def _placed(self, place: Place) -> None:
        self._console, self.position = place.info.console, Position.parse(place.position)
        self._live_from = Position.parse(place.info.position).mark
        if self._asked is not None:
            assert place.missing is (self._asked.history != self.position.history)
            assert place.missing or self.position == self._asked
        self._told["missing"] += place.missing
        if place.info.attachment is not None:
            self._begin(place.info.attachment, place.info.id.incarnation)

    def _begin(self, attachment: int, incarnation: int) -> None:
        self.typed.append(Typed(attachment, self._history.boots[incarnation - 1]))

    def _learn(self, status: InputStatus) -> None:
        (typed,) = (each for each in self.typed if each.attachment == status.attachment)
        typed.status = status
        for fate in ("accepted", "unknown", "rejected"):
            self._told[fate] += getattr(status, fate) > 0

    def type(self, size: int, window: int) -> None:
        """Type so many bytes, as far as the window allows, at the last attachment that it knows; each says who typed
        it, and its place there."""
        at = self.typed[-1]
        begin = len(at.data)
        data = bytes(self.number << 5 | place % 32 for place in range(begin, min(begin + size, at.settled + window)))
        if data:
            at.data += data
            self._connection.sendall(encode_input(self._console, at.attachment, begin, data))

    def confirm(self) -> None:
        """Ask what became of it."""
        self._say(Confirm(self._console))

    def check(self, lines: dict[int, bytearray]) -> None:
        """Hold what it was told of its input against what came to each boot."""
        for typed in self.typed:
            if typed.data:
                typed.check(bytes(byte for byte in lines[typed.boot] if byte >> 5 == self.number))

    def has_typed_at(self, boot: int) -> bool:
        return any(typed.boot == boot and typed.data for typed in self.typed)
