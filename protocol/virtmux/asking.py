"""A question or two to a daemon and their answers, without an event loop: for what has to start fast."""

import os
import time
from types import TracebackType
from typing import NamedTuple, Self

from virtmux.addresses import Address, addresses
from virtmux.dialing import CLOSING_S, GREETING_S, SOFTWARE, broken, dial, ended, said_by
from virtmux.errors import Refused
from virtmux.features import Feature
from virtmux.messages import (
    ClientHello,
    Console,
    DaemonHello,
    DaemonMessage,
    Done,
    Goodbye,
    Hypervisor,
    ListConsoles,
    MetricsText,
    OpenMetrics,
    Statistics,
    StatisticsMessage,
    Status,
    encode,
)
from virtmux.messages import Refused as RefusedMessage
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, Phase, Reason
from virtmux.session import ClientSession
from virtmux.wire import ProtocolError

_READ = 262144


class Answer(NamedTuple):
    """What a daemon is, what it knows, and where it is."""

    greeting: DaemonHello
    hypervisors: list[Hypervisor]
    consoles: list[Console]
    address: str


class Asking:
    """Asks a daemon for its hypervisors and consoles, at once; a context manager that closes the connection.

    `answer` waits for what was asked: those of several daemons can be under way together. After it more can be asked.
    """

    def __init__(self, address: Address | None, *, seconds: float | None = None) -> None:
        """Within `seconds` the answer must have come; by default it may take that long after each piece of it, and as
        long as it wants while ssh connects.

        Raises:
            Refused, ConnectionLost: as `virtmux.connect`.
        """
        self._give_up_at = None if seconds is None else time.monotonic() + seconds
        self._dialed = dial(addresses(address, os.environ), again=seconds is not None)
        self._session = ClientSession()
        self._id = self._session.next_id()
        self._failed: OSError | None = None
        try:
            self._dialed.socket.sendall(
                encode(ClientHello(software=SOFTWARE, features=list(Feature))) + encode(ListConsoles(self._id))
            )
        except OSError as error:  # a daemon that sends us away has said why
            self._failed = error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection; an ssh is gone afterwards."""
        self._dialed.socket.close()
        if self._dialed.ssh is not None:
            self._dialed.ssh.end(0)

    def answer(self) -> Answer:
        """What the daemon says.

        Raises:
            Refused: it does not tell; or ssh is not let in.
            ConnectionLost: it sent this client away, does not answer, or does not speak the protocol.
        """
        said = self._until_done()
        hypervisors = [message for message in said if isinstance(message, Hypervisor)]
        consoles = [message for message in said if isinstance(message, Console)]
        return Answer(self._greeting, hypervisors, consoles, str(self._dialed.address))

    def statistics(self) -> Statistics | None:
        """What it counts and measures, once it has given its `answer`; None where it is too old to tell.

        Raises:
            Refused, ConnectionLost: as `answer`.
        """
        if Feature.STATISTICS not in self._greeting.features:
            return None
        said = self._ask(Status(self._session.next_id()))
        return next((message.info for message in said if isinstance(message, StatisticsMessage)), None)

    def openmetrics(self) -> str:
        """The same as the OpenMetrics text that is scraped, once it has given its `answer`.

        Raises:
            Refused: the daemon is too old (`feature-missing`).
            ConnectionLost: as `answer`.
        """
        if Feature.STATISTICS not in self._greeting.features:
            raise Refused(reason_now(Cause.FEATURE_MISSING, f"`{Feature.STATISTICS}`; {self._greeting.software}"))
        said = self._ask(OpenMetrics(self._session.next_id()))
        return "".join(message.text for message in said if isinstance(message, MetricsText))

    @property
    def _greeting(self) -> DaemonHello:
        if self._session.greeting is None:
            raise ValueError("the daemon has not answered yet")
        return self._session.greeting

    def _ask(self, question: Status | OpenMetrics) -> list[DaemonMessage]:
        try:
            self._dialed.socket.sendall(encode(question))
        except OSError as error:
            self._failed = error
        return self._until_done()

    def _until_done(self) -> list[DaemonMessage]:
        """What the daemon says up to the end of an answer."""
        said: list[DaemonMessage] = []
        while True:
            for message in self._receive():
                match message:
                    case RefusedMessage(reason=reason):
                        raise Refused(reason)
                    case Goodbye(reason=reason):
                        raise ended(said_by(self._dialed.address, reason))
                    case Done():
                        return said
                    case _:
                        said.append(message)

    def _receive(self) -> list[DaemonMessage]:
        try:
            self._dialed.socket.settimeout(self._patience())
            data = self._dialed.socket.recv(_READ)
            messages = [message for message in self._session.receive(data) if isinstance(message, DaemonMessage)]
        except TimeoutError:
            detail = f"{self._dialed.address}: no answer in time"
            raise ended(reason_now(Cause.SERVER_LOST, detail, phase=Phase.CONNECTION)) from None
        except OSError as error:
            raise ended(self._why_ended(error)) from error
        except (ProtocolError, ValueError) as error:
            greeted = self._session.greeting is not None
            raise ended(broken(self._dialed.address, error, greeted=greeted)) from error
        if not data:
            raise ended(self._why_ended(self._failed))
        return messages

    def _patience(self) -> float | None:
        if self._give_up_at is not None:
            return max(self._give_up_at - time.monotonic(), 0.001)
        return None if self._dialed.ssh is not None and self._session.greeting is None else GREETING_S

    def _why_ended(self, error: OSError | None) -> Reason:
        if self._dialed.ssh is not None:
            self._dialed.ssh.end(CLOSING_S)
            return self._dialed.ssh.why()
        return reason_now(Cause.SERVER_LOST, str(error or ""), phase=Phase.CONNECTION)
