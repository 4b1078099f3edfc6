"""A client that speaks the protocol itself: it sees every `input-status`, and types as fast as the window allows."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.harness.follower import PATIENCE
from virtmux import Attached, Break, Ended, Mark, MarkMessage, Note, Output, Reason
from virtmux.messages import Attach, ClientHello, DaemonMessage, InputStatus, Place, encode
from virtmux.session import ClientSession
from virtmux.wire import MAX_INPUT, encode_input


class Paster:
    """See the module. Made by `pasting`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, place: Place) -> None:
        self.attachment = place.info.attachment
        #: All that was said of the input of each attachment.
        self.statuses: dict[int, list[InputStatus]] = {}
        #: Bytes sent to each attachment.
        self.sent: dict[int, int] = {}
        self.output = bytearray()
        self.marks: list[Mark] = []
        self._handle = place.info.console
        self._reader = reader
        self._writer = writer
        self._news = asyncio.Condition()

    def fate(self, attachment: int) -> InputStatus:
        """The last word on the input of an attachment."""
        said = self.statuses.get(attachment)
        return said[-1] if said else InputStatus(self._handle, attachment, 0)

    def undecided(self, attachment: int) -> int:
        """Bytes of which it is not said yet what became of them."""
        fate = self.fate(attachment)
        return self.sent.get(attachment, 0) - fate.accepted - fate.unknown - fate.rejected

    async def until(self, true: Callable[["Paster"], object], *, seconds: float = PATIENCE) -> None:
        """Wait until something holds. Raises TimeoutError, what was heard in a note."""
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(lambda: true(self))
        except TimeoutError as error:
            last = {attachment: said[-1] for attachment, said in self.statuses.items()}
            error.add_note(f"sent {self.sent}, {last}, {self.marks}, {len(self.output)} bytes: {self.output[-200:]!r}")
            raise

    async def until_attached(self, attachment: int, *, seconds: float = PATIENCE) -> None:
        """Wait for this attachment."""
        await self.until(lambda self: self.attachment == attachment, seconds=seconds)

    async def until_decided(self, attachment: int, *, rejected: int = 0, seconds: float = PATIENCE) -> None:
        """Wait until it is said what became of all input to an attachment, and that so much of it was rejected."""
        await self.until(
            lambda self: self.undecided(attachment) == 0 and self.fate(attachment).rejected >= rejected, seconds=seconds
        )

    async def until_output(self, end: bytes) -> None:
        """Wait until these are the last bytes of the output."""
        await self.until(lambda self: self.output.endswith(end))

    async def until_ended(self, times: int) -> Reason:
        """Wait until so many attachments have ended; gives the last one's Reason."""
        await self.until(lambda self: len(self.ends) == times)
        return self.ends[-1]

    @property
    def ends(self) -> list[Reason]:
        """The Reason of every `ended` mark."""
        return [mark.reason for mark in self.marks if isinstance(mark, Ended)]

    async def type(self, data: bytes, attachment: int | None = None, *, window: int = 65536) -> None:
        """Send all of `data` to one attachment, no more at a time than the window; stops where that has ended."""
        to = attachment or self.attachment
        assert to is not None, "nothing is attached"
        for start in range(0, len(data), MAX_INPUT):
            piece = data[start : start + MAX_INPUT]
            await self._room(to, window - len(piece))
            if self.fate(to).cause is not None:
                return
            self.put(piece, to)

    async def _room(self, attachment: int, undecided: int) -> None:
        await self.until(
            lambda one: one.undecided(attachment) <= undecided or one.fate(attachment).cause, seconds=10 * PATIENCE
        )

    def put(self, piece: bytes, attachment: int) -> None:
        """Send a piece to an attachment, whether that is still there or not."""
        self._writer.write(encode_input(self._handle, attachment, self.sent.get(attachment, 0), piece))
        self.sent[attachment] = self.sent.get(attachment, 0) + len(piece)

    async def listen(self, session: ClientSession) -> None:
        """Take what the daemon says, for ever."""
        while data := await self._reader.read(65536):
            async with self._news:
                for said in session.receive(data):
                    self._take(said)
                self._news.notify_all()

    def _take(self, said: DaemonMessage | Output) -> None:
        match said:
            case Output(data=data):
                self.output += data
            case InputStatus(attachment=attachment):
                self.statuses.setdefault(attachment, []).append(said)
            case MarkMessage(record=mark):
                self.marks.append(mark)
                match mark:
                    case Attached(attachment=attachment):
                        self.attachment = attachment
                    case Ended():
                        self.attachment = None
                    case Break() | Note():
                        pass
            case _:
                pass


@asynccontextmanager
async def pasting(socket: Path, domain: str) -> AsyncIterator[Paster]:
    """A paster at an attached console, until the context is left."""
    reader, writer = await asyncio.open_unix_connection(socket)
    session = ClientSession()
    try:
        writer.write(encode(ClientHello()) + encode(Attach(session.next_id(), domain)))
        heard: list[DaemonMessage | Output] = []
        async with asyncio.timeout(PATIENCE):
            while not any(isinstance(each, Place) for each in heard):
                heard += session.receive(await reader.read(65536))
        place = next(each for each in heard if isinstance(each, Place))
        one = Paster(reader, writer, place)
        for each in heard:
            one._take(each)
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(one.listen(session))
            try:
                await one.until(lambda self: self.attachment)
                yield one
            finally:
                listening.cancel()
    finally:
        writer.close()
        await writer.wait_closed()
