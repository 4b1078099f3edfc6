"""One link to the daemon: found, opened and greeted; answers go to their requests, records to their places."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import astuple, replace

from virtmux import messages
from virtmux.addresses import Address
from virtmux.dialing import CLOSING_S, GREETING_S, SOFTWARE, Dialed, broken, dial, ended, said_by
from virtmux.errors import Refused
from virtmux.features import Feature
from virtmux.messages import (
    Attach,
    ClientHello,
    ClientMessage,
    DaemonHello,
    DaemonMessage,
    Detach,
    Done,
    Event,
    Gap,
    Goodbye,
    InputStatus,
    Limits,
    ListConsoles,
    MarkMessage,
    Place,
    PlaceEnded,
    Reclaim,
    Release,
    Watch,
    encode,
    sendable,
)
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, Phase, Reason
from virtmux.session import ClientSession
from virtmux.unixsocket import UnixSocket
from virtmux.wire import HEADER_SIZE, Output, ProtocolError

if TYPE_CHECKING:
    from virtmux.console_place import ConsolePlace


class LinkLost(Exception):  # noqa: N818 - an event, caught within the library
    """The link is over; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.text)
        self.reason = reason


Question = (
    ListConsoles
    | Watch
    | Attach
    | Detach
    | Release
    | Reclaim
    | messages.Histories
    | messages.Marks
    | messages.Forget
    | messages.Who
    | messages.Kick
    | messages.Guest
    | messages.Domains
    | messages.Status
    | messages.OpenMetrics
)
"""What the daemon answers."""
#: The id of one that is not asked yet.
UNASKED = 0
#: What an answer that is a list consists of.
_Item = (
    messages.Hypervisor
    | messages.Console
    | messages.History
    | messages.Stored
    | messages.Client
    | messages.Domain
    | messages.StatisticsMessage
    | messages.MetricsText
)


#: The questions that all need a feature.
_FEATURES: dict[type[Question], Feature] = {
    messages.Who: Feature.WHO,
    messages.Kick: Feature.WHO,
    messages.Guest: Feature.GUEST,
    messages.Domains: Feature.DOMAINS,
    messages.Status: Feature.STATISTICS,
    messages.OpenMetrics: Feature.STATISTICS,
}


class Request:
    """A question to the daemon. `done` ends with its last answer; Refused or LinkLost are raised by it. `items` are the
    answers before that."""

    def __init__(self, place: "ConsolePlace | None") -> None:
        """`place` is what an `attach` asks for."""
        self.place = place
        self.items: list[_Item] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def finish(self, error: Exception | None = None) -> None:
        """End it, unless whoever asked has gone."""
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
            self.done.exception()  # nobody waits for the answer to a detach


class Link:
    """An open socket, or ssh, whose daemon has said hello.

    `places` holds those that are had on it, by the daemon's handles of their consoles.
    """

    def __init__(self, dialed: Dialed) -> None:
        self.address = dialed.address
        self.session = ClientSession()
        # As the daemon has greeted.
        self.limits: Limits
        self.software: str
        self.features: frozenset[str]
        self.places: dict[int, ConsolePlace] = {}
        self._requests: dict[int, Request] = {}
        self._socket = UnixSocket(dialed.socket)
        self._ssh = dialed.ssh

    def send(self, frame: bytes) -> None:
        """Queue a frame. Follow with `drain` where the application decides how much is sent."""
        self._socket.send(frame)

    async def drain(self) -> None:
        """Wait until the socket takes more. A lost connection is no error here: its reader finds out."""
        await self._socket.drain()

    def ask(self, question: Question, place: "ConsolePlace | None" = None) -> Request:
        """Ask the daemon; the id is set here. `place` is what an `attach` asks for.

        Raises:
            ValueError: a text cannot be sent.
            Refused: the daemon does not know such a thing (`feature-missing`), or takes no message as large
                (`protocol-error`).
        """
        needed = _feature_of(question)
        if needed is not None and needed not in self.features:
            raise Refused(reason_now(Cause.FEATURE_MISSING, f"`{needed}`; {self.software}"))
        for text in astuple(question):
            if isinstance(text, str):
                sendable(text)
        question = replace(question, id=self.session.next_id())
        size = len(encode(question)) - HEADER_SIZE
        if size > self.limits.message:
            text = f"a message of {size} bytes, and {self.software} takes {self.limits.message} at most"
            raise Refused(reason_now(Cause.PROTOCOL_ERROR, text))
        return self._ask(question, place)

    def detach(self, handle: int) -> None:
        """Give a place up. What still arrives of it is dropped."""
        self.places.pop(handle, None)
        self._ask(self.session.detach(handle))

    def _ask(self, question: Question, place: "ConsolePlace | None" = None) -> Request:
        request = self._requests[question.id] = Request(place)
        self._say(question)
        return request

    def _say(self, message: ClientMessage) -> None:
        self.send(encode(message))

    async def greet(self) -> None:
        """Exchange hellos. ssh, which may ask for a password, has as long as it wants for that.

        Raises:
            LinkLost: the daemon sent this client away, does not answer or does not speak the protocol.
        """
        self._say(ClientHello(software=SOFTWARE, features=list(Feature)))
        try:
            async with asyncio.timeout(None if self._ssh else GREETING_S):
                while self.session.greeting is None:
                    await self._receive(_no_event)
        except TimeoutError:
            detail = f"{self.address}: no greeting within {GREETING_S:.0f} s"
            raise LinkLost(reason_now(Cause.SERVER_LOST, detail, phase=Phase.CONNECTION)) from None
        self.limits, self.software = self.session.greeting.limits, self.session.greeting.software
        self.features = frozenset(self.session.greeting.features)

    async def serve(self, on_event: Callable[[Event], None]) -> Reason:
        """Take what the daemon sends until the link ends, and say why it did."""
        try:
            while True:
                await self._receive(on_event)
                await asyncio.sleep(0)  # reading what has arrived does not suspend: those who take it must run, too
        except LinkLost as lost:
            return lost.reason

    async def _receive(self, on_event: Callable[[Event], None]) -> None:
        try:
            data = await self._socket.read()
            if not data:
                raise LinkLost(await self._why_ended())
            for message in self.session.receive(data):
                self._take(message, on_event)
        except OSError as error:
            raise LinkLost(await self._why_ended(str(error))) from error
        except (ProtocolError, ValueError) as error:
            greeted = self.session.greeting is not None
            raise LinkLost(broken(self.address, error, greeted=greeted)) from error

    async def _why_ended(self, error: str = "") -> Reason:
        """Why nothing comes any more, where the daemon did not say it: what ssh says, or else the `error`."""
        if self._ssh is None:
            return reason_now(Cause.SERVER_LOST, error, phase=Phase.CONNECTION)
        await asyncio.to_thread(self._ssh.end, CLOSING_S)
        return self._ssh.why()

    def _take(self, message: DaemonMessage | Output, on_event: Callable[[Event], None]) -> None:
        match message:
            case Output() | MarkMessage() | Gap() | messages.Time() | messages.RoleChanged() | messages.Company():
                if place := self.places.get(message.console):
                    place.receive(message)
            case InputStatus():
                if place := self.places.get(message.console):
                    place.input_status(message)
            case PlaceEnded():
                if place := self.places.pop(message.console, None):
                    place.end(message.reason)
            case Event():
                on_event(message)
            case Place() | Done() | messages.Refused():
                self._answer(message)
            case Goodbye():
                raise LinkLost(said_by(self.address, message.reason))
            case DaemonHello():
                pass
            case _:
                self._open_request(message.id).items.append(message)

    def _open_request(self, number: int) -> Request:
        if (request := self._requests.get(number)) is None:
            raise ProtocolError(f"an answer to request {number}, which is not open")
        return request

    def _answer(self, message: Place | Done | messages.Refused) -> None:
        request = self._open_request(message.id)
        del self._requests[message.id]
        if isinstance(message, messages.Refused):
            request.finish(Refused(message.reason))
            return
        if isinstance(message, Place):
            self._placed(request, message)
        request.finish()

    def _placed(self, request: Request, answer: Place) -> None:
        place, handle = request.place, answer.info.console
        if place is None or handle in self.places:
            raise ProtocolError(f"a place at console {handle} that was not asked for")
        if place.ended:  # whoever asked for it has gone
            self.detach(handle)
            return
        self.places[handle] = place
        place.placed(self, answer)

    def lose(self, reason: Reason) -> None:
        """End every open request with LinkLost."""
        requests, self._requests = self._requests, {}
        for request in requests.values():
            request.finish(LinkLost(reason))

    async def close(self) -> None:
        """Close the socket; what was sent is flushed for at most `CLOSING_S` seconds. An ssh is gone afterwards."""
        try:
            await self._socket.close(CLOSING_S)
        finally:
            self.lose(reason_now(Cause.DETACHED))
            if self._ssh is not None:
                await asyncio.to_thread(self._ssh.end, CLOSING_S if self.session.greeting else 0)


def _feature_of(question: Question) -> Feature | None:
    """The feature without which a daemon would not understand a question, or not do what it asks."""
    match question:
        case Attach(exclusive=True):
            return Feature.ROLES
        case Attach(force=True):
            return Feature.FORCE
        case _:
            return _FEATURES.get(type(question))


async def open_link(addresses: Sequence[Address], *, again: bool = False) -> Link:
    """Connect to the first of `addresses` where a daemon answers, and greet it; see `dial` for `again`.

    Raises:
        Refused: there is a socket, and its mode keeps this user out (`access-denied`); or ssh is not let in.
        ConnectionLost: no daemon answers at any of them (`server-lost`), or it sent this client away.
    """
    link = Link(dial(addresses, again=again))
    try:
        await link.greet()
    except BaseException as error:
        await link.close()
        if isinstance(error, LinkLost):
            raise ended(error.reason) from error
        raise
    return link


def _no_event(event: Event) -> None:
    raise ProtocolError(f"event {event.event} before anything was asked for")
