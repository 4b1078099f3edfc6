"""The console streams of `fake_libvirt.py`, and how its calls fail."""

import sys
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import libvirt

if TYPE_CHECKING:
    from tests.harness.fake_guest import FakeGuest
    from tests.harness.fake_libvirt import FakeConnection

#: What the line of a guest takes that reads nothing, in bytes.
LINE = 11776
_READABLE, _ERROR = libvirt.VIR_STREAM_EVENT_READABLE, libvirt.VIR_STREAM_EVENT_ERROR
_WOULD_BLOCK = -2


class Refusal(NamedTuple):
    """What is wrong, as libvirt says it."""

    code: int
    domain: int
    text: str
    int1: int = -1


SOCKET_CLOSED = Refusal(libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_RPC, "internal error: client socket is closed")
CUT = Refusal(
    libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_RPC, "End of file while reading data: Input/output error", 5
)
_FROM = libvirt.VIR_FROM_STREAMS
_TAKEN = Refusal(libvirt.VIR_ERR_RPC, _FROM, "stream had I/O failure")
_LINE_CLOSED = Refusal(libvirt.VIR_ERR_SYSTEM_ERROR, _FROM, "cannot write to stream: Input/output error", 5)
_ABORTED = Refusal(libvirt.VIR_ERR_OPERATION_FAILED, libvirt.VIR_FROM_RPC, "operation failed: stream is closed")
_NOT_OPEN = Refusal(libvirt.VIR_ERR_INTERNAL_ERROR, _FROM, "internal error: stream is not open")

_errors = threading.local()


def last_error() -> tuple[object, ...] | None:
    """As libvirt's: what was wrong last in this thread."""
    error: tuple[object, ...] | None = getattr(_errors, "last", None)
    return error


def _note(refusal: Refusal) -> None:
    code, domain, text, int1 = refusal
    _errors.last = code, domain, text, libvirt.VIR_ERR_ERROR, text, None, None, int1, -1


def refuse(refusal: Refusal) -> NoReturn:
    """Fail, as a call of the binding does."""
    _note(refusal)
    raise libvirt.libvirtError(refusal.text)


class Holder:
    """Who has a guest's console, as the hypervisor knows it; the stream itself may be gone."""

    def __init__(self, stream: "FakeStream", connection: "FakeConnection") -> None:
        self.connection = connection
        self._stream = weakref.ref(stream)

    def hear(self, data: bytes) -> None:
        """The guest says something."""
        stream = self._stream()
        if stream is not None:
            stream.hear(data)

    def end(self) -> None:
        """The guest is gone."""
        stream = self._stream()
        if stream is not None:
            stream.end()

    def lose(self) -> None:
        """Somebody else has taken the console."""
        stream = self._stream()
        if stream is not None:
            stream.lose()


class FakeStream:
    """As the binding's virStream, non-blocking, once it is a console's."""

    def __init__(self, connection: "FakeConnection") -> None:
        self._connection = connection
        self._remote = connection.at.remote
        self._loop = connection.at.loop
        self._guest: FakeGuest | None = None
        self._holder = Holder(self, connection)
        self._arrived = bytearray()
        self._ended = False
        #: Why nothing more is to be had.
        self._failure: Refusal | None = None
        self._opaque: dict[str, Any] | None = None
        self._due = False

    @property
    def _o(self) -> "FakeStream":
        """The binding's functions are given this."""
        return self

    def open(self, guest: "FakeGuest") -> Holder:
        """It is the console of this guest from now on."""
        self._guest = guest
        return self._holder

    # What comes from the guest, in any thread.

    def hear(self, data: bytes) -> None:
        self._arrived += data
        self._wake()

    def end(self) -> None:
        if not self._remote:
            self._arrived.clear()  # it was in the PTY
        self._ended = True
        self._wake()

    def lose(self) -> None:
        if self._remote:
            self._failure = _TAKEN
            self._wake()
        else:
            self._close()

    def _close(self) -> None:
        """Close a stream of this process; whoever still listens is told so before, and nothing any more after."""
        if self._opaque is not None:
            self._call(_ERROR)
            assert self._opaque is None, "libvirt closes the file, watched or not"
        self._failure = _NOT_OPEN

    # The callback.

    def _wake(self) -> None:
        """Call back as long as there is something."""
        has_something = self._arrived or self._ended or self._failure is not None
        if self._opaque is not None and has_something and not self._due:
            self._due = True
            self._loop.call_soon_threadsafe(self._fire)

    def _fire(self) -> None:
        self._due = False
        if self._opaque is not None:
            self._call(_READABLE)
            self._wake()

    def _call(self, events: int) -> None:
        opaque = self._opaque
        assert opaque is not None
        try:
            opaque["stream"]._dispatchStreamEventCallback(events, opaque)
        except Exception:  # noqa: BLE001  # whatever it is
            sys.excepthook(*sys.exc_info())  # as the binding does

    def listen(self, opaque: dict[str, Any]) -> int:
        """As virStreamEventAddCallback."""
        if self._opaque is not None:
            where = libvirt.VIR_FROM_RPC if self._remote else _FROM
            _note(Refusal(libvirt.VIR_ERR_INTERNAL_ERROR, where, "internal error: there is a callback"))
            return -1
        self._opaque = opaque
        if self._remote:
            self._connection.at.leaked.append(opaque)
        self._wake()
        return 0

    def eventRemoveCallback(self) -> int:  # noqa: N802  # as all below, the binding's name
        if self._opaque is None:
            where = libvirt.VIR_FROM_RPC if self._remote else _FROM
            refuse(Refusal(libvirt.VIR_ERR_INTERNAL_ERROR, where, "internal error: there is no callback"))
        self._opaque = None
        return 0

    def eventAddCallback(self, _events: int, callback: Callable[..., object], opaque: object) -> None:  # noqa: N802
        self.cb = callback
        self.listen({"stream": self, "opaque": opaque})

    # Calls.

    def recv(self, size: int) -> bytes | int:
        if self._failure is not None:
            refuse(self._failure)
        data = bytes(self._arrived[:size])
        del self._arrived[:size]
        return data or (b"" if self._ended else _WOULD_BLOCK)

    def send(self, data: bytes) -> int:
        self._check()
        assert self._guest is not None
        if self._ended:
            if not self._remote:
                refuse(_LINE_CLOSED)
            if data:
                self._failure = _LINE_CLOSED
            return len(data)
        room = len(data) if self._remote or not self._guest.is_paused else LINE - len(self._guest.waits)
        if data and not room:
            return _WOULD_BLOCK
        self._guest.type(data[:room])
        return min(room, len(data))

    def _check(self) -> None:
        if self._remote and self._connection.lost is not None:
            refuse(SOCKET_CLOSED)
        if self._failure is not None:
            refuse(self._failure)

    def abort(self) -> int:
        if self._remote:
            if self._connection.lost is None:
                self._connection.call()
            self._release()
            self._check()
            self._failure = _ABORTED
        elif self._failure is None:
            self._release()
            self._close()
        return 0

    def _release(self) -> None:
        if self._guest is not None and self._holder in self._guest.holders:
            self._guest.holders.remove(self._holder)


def add_callback(stream: FakeStream, _events: int, opaque: dict[str, Any]) -> int:
    """As libvirtmod's virStreamEventAddCallback."""
    return stream.listen(opaque)
