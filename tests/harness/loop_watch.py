"""What runs on the daemon's loop, watched from within its process: each callback's own CPU time, and blocking calls.

uvloop's handles are C and cannot be wrapped; what it is given to call can. A loop that inherits from uvloop's wraps
each callback on its way in, those of tasks and of libvirt's events among them. What uvloop does below Python,
non-blocking reads and writes, is left to strace (`system_calls.py`).

CPU time is the thread's own, so a loaded machine does not show in it. A call is called blocking by its name, not by
how long it took: one that was quick today waits for a hung hypervisor or a full disk tomorrow.
"""

import asyncio
import concurrent.futures
import functools
import gc
import os
import queue
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import libvirt
import libvirtaio
import libvirtmod
import uvloop

from virtmux.records import Ended
from virtmuxd.core.sequence import Sequence
from virtmuxd.core.times import Times

if TYPE_CHECKING:
    from types import FrameType

#: The libvirt calls that may be made on the loop, each with the reason why it waits for nobody. All others are RPCs.
LOCAL_CALLS = {
    "virStreamRecv": "takes what has arrived; the stream is non-blocking",
    "virStreamEventAddCallback": "registers with the event loop",
    "virStreamEventRemoveCallback": "the same",
    "virStreamFree": "as virDomainFree; that the server lets go is virStreamAbort's work",
    "virEventInvokeHandleCallback": "libvirt reads what has arrived",
    "virEventInvokeTimeoutCallback": "libvirt hands on what has arrived",
    "virEventInvokeFreeCallback": "gives memory back",
    "virEventRegisterImpl": "once, at the start",
    "virRegisterErrorHandler": "once, at the start",
    "virGetLastError": "the thread's own",
    "virDomainGetID": "the object knows it",
    "virDomainGetUUIDString": "the object knows it",
    "virDomainGetName": "the object knows it",
    "virDomainFree": "gives memory back; where it was the last to hold a connection, which closes that, strace sees it",
}

#: What a mark takes, in bytes: one that says an end, with all its error, and any other.
_ENDED, _MARK = 1100, 300

#: Those that may be made on the loop within a function that has seen that they wait for nobody now.
LOOKED_AT = {"virStreamSend": "ConsoleSupervisor.send_input"}

#: Audit events (PEP 578) of calls that block. `open` and `socket.connect` depend on their arguments: see `_audit`.
_BLOCKING = frozenset(
    {
        "subprocess.Popen",
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.system",
        "os.listdir",
        "os.scandir",
        "fcntl.flock",
        "fcntl.lockf",
        "glob.glob",
        "shutil.rmtree",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "socket.gethostbyaddr",
        "socket.getnameinfo",
    }
)
_WRITING = ("fsync", "fdatasync", "sync", "waitpid", "wait")
#: Timers that are no sign of a leak: a place where somebody has typed has one for a minute at most, and a task that
#: sleeps over and over, of which there are as many as before, has none in between.
_PASSING = {"PlaceAudit._tell_typed", "_set_result_unless_cancelled"}
_OURS = ("virtmux", "tests.harness.watched_daemon", "__main__")
_SOCKET_CALLS = (
    "accept",
    "connect",
    "recv",
    "recv_into",
    "recvfrom",
    "recvmsg",
    "send",
    "sendall",
    "sendmsg",
    "sendto",
)


@dataclass(slots=True)
class Measured:
    """All calls of one callback, in nanoseconds of the thread's CPU time."""

    calls: int = 0
    total: int = 0
    most: int = 0


class LoopWatch:
    """Watches the thread that it is made in. Nothing is counted before `arm`."""

    def __init__(self) -> None:
        #: What may be opened: the directory that holds sockets and rings, a tmpfs.
        self.runtime: str | None = None
        self.loop: WatchedLoop | None = None
        self.measured: dict[str, Measured] = {}
        self.offences: Counter[str] = Counter()
        self._thread = threading.get_ident()
        self._armed = False
        self._running: Callable[..., object] | None = None

    def arm(self) -> None:
        """Begin to count, from nothing."""
        self.measured = {}
        self.offences = Counter()
        self._armed = True

    def new_loop(self) -> "WatchedLoop":
        """Instead of `uvloop.new_event_loop`."""
        self.loop = WatchedLoop(self)
        return self.loop

    def run(self, callback: Callable[..., object], args: tuple[Any, ...]) -> object:
        """Call a callback of the loop and measure it."""
        # A task's step does not know its coroutine any more once that has ended.
        name = name_of(callback) if self._armed else ""
        self._running = callback
        before = time.thread_time_ns()
        try:
            return callback(*args)
        finally:
            spent = time.thread_time_ns() - before
            self._running = None
            if name and self._armed:
                measured = self.measured.setdefault(name, Measured())
                measured.calls += 1
                measured.total += spent
                measured.most = max(measured.most, spent)

    def blocks(self, call: str) -> None:
        """`call`, which blocks, is being made: an offence, if it is made by a callback of the loop."""
        if self._armed and self._running is not None and threading.get_ident() == self._thread:
            self.offences[f"{call} in {_place_of_call()}, called by {name_of(self._running)}"] += 1

    # The places where blocking calls are noticed.

    def install(self) -> None:
        """Notice blocking calls from now on."""
        for name, function in vars(libvirtmod).items():
            if callable(function) and name not in LOCAL_CALLS:
                blocks = functools.partial(_is_outside, LOOKED_AT.get(name))
                setattr(libvirtmod, name, self._noticed(f"libvirtmod.{name}", function, blocks))
        time.sleep = self._noticed("time.sleep", time.sleep)  # Python 3.11 has no audit event for it
        for name in _WRITING:
            setattr(os, name, self._noticed(f"os.{name}", getattr(os, name)))
        for name in _SOCKET_CALLS:
            function = getattr(socket.socket, name)
            setattr(socket.socket, name, self._noticed(f"socket.{name}", function, lambda one: one.gettimeout() != 0))
        # Not Condition and Event: a thread that is started says so by one, which waits for nobody else.
        for owner, name in ((queue.Queue, "get"), (threading.Barrier, "wait"), (threading.Thread, "join")):
            setattr(owner, name, self._noticed(f"{owner.__name__}.{name}", getattr(owner, name)))
        future = concurrent.futures.Future
        future.result = self._noticed("Future.result", future.result, lambda one: not one.done())  # type: ignore[method-assign]
        sys.addaudithook(self._audit)

    def _noticed(
        self, name: str, function: Callable[..., Any], where: Callable[[Any], bool] = lambda _: True
    ) -> Callable[..., Any]:
        """`function`, noticed as blocking `where` its first argument, the object of a method, makes it so."""

        @functools.wraps(function)
        def noticed(*args: Any, **kwargs: Any) -> Any:
            if where(args[0] if args else None):
                self.blocks(name)
            return function(*args, **kwargs)

        return noticed

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event in _BLOCKING:
            self.blocks(event)
        elif event == "open" and not isinstance(args[0], int):
            path = os.path.abspath(os.fsdecode(args[0]))  # noqa: PTH100  # as quick as can be
            if self.runtime is None or not path.startswith(self.runtime):
                self.blocks(f"open {path}")


class WatchedLoop(uvloop.Loop):
    """uvloop's loop, all of whose callbacks are measured."""

    def __init__(self, watch: LoopWatch) -> None:
        super().__init__()
        self._watch = watch

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        return super().call_soon(self._watched(callback), *args, context=context)

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        return super().call_soon_threadsafe(self._watched(callback), *args, context=context)

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        return super().call_later(delay, self._watched(callback, Timer), *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        return super().call_at(when, self._watched(callback, Timer), *args, context=context)

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:  # type: ignore[override]
        return super().add_reader(fd, self._watched(callback), *args)

    def add_writer(self, fd: Any, callback: Any, *args: Any) -> Any:  # type: ignore[override]
        return super().add_writer(fd, self._watched(callback), *args)

    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> Any:  # type: ignore[override]
        return super().add_signal_handler(sig, self._watched(callback), *args)

    def _watched(self, callback: Any, kind: "type[Watched] | None" = None) -> "Watched":
        return callback if isinstance(callback, Watched) else (kind or Watched)(self._watch, callback)


class Watched:
    """A callback that is measured. A handle of the loop lets go of it once it is cancelled or has run."""

    __slots__ = ("_callback", "_watch")

    def __init__(self, watch: LoopWatch, callback: Callable[..., object]) -> None:
        self._watch = watch
        self._callback = callback

    def __call__(self, *args: Any) -> object:
        return self._watch.run(self._callback, args)

    def __repr__(self) -> str:
        return f"<watched {self._callback!r}>"


class Timer(Watched):
    """One that waits for its time."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The qualified name of what it runs."""
        return name_of(self._callback)


def name_of(callback: Any) -> str:
    """The qualified name of what a callback runs: of a task's step, that of its coroutine."""
    while isinstance(callback, functools.partial):
        callback = callback.func
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        coroutine = owner.get_coro()
        return str(getattr(coroutine, "__qualname__", None) or coroutine)
    return str(getattr(callback, "__qualname__", None) or callback)


def _is_outside(function: str | None, _: object) -> bool:
    """Whether this thread is not within a function of this qualified name."""
    frame: FrameType | None = sys._getframe() if function else None
    while frame is not None and frame.f_code.co_qualname != function:
        frame = frame.f_back
    return frame is None


def _place_of_call() -> str:
    """Where the daemon's own code makes the call that is under way."""
    frame: FrameType | None = sys._getframe(3)
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).startswith(_OURS):
            return f"{frame.f_code.co_qualname} ({Path(frame.f_code.co_filename).name}:{frame.f_lineno})"
        frame = frame.f_back
    return "no code of ours"


def _count(objects: list[object], *kinds: type) -> int:
    return sum(isinstance(each, kinds) for each in objects)


def _type_of(each: object) -> str:
    """By its qualified name; of a timer, what it runs."""
    if isinstance(each, Timer):
        return f"timer of {each.name}"
    return f"{type(each).__module__}.{type(each).__qualname__}"


def kept() -> int:
    """Bytes that consoles take for what they keep up to a limit: when output came, and marks. What else they hold lies
    in files."""
    objects = gc.get_objects()
    times = sum(sys.getsizeof(each._offsets) + sys.getsizeof(each._ats) for each in objects if isinstance(each, Times))
    marks = (mark.record for each in objects if isinstance(each, Sequence) for mark in tuple(each._marks))
    return times + sum(_ENDED if isinstance(record, Ended) else _MARK for record in marks)


def census(watch: LoopWatch) -> dict[str, Any]:
    """What there is in this process, counted: `held` must not grow, `types` names what did."""
    gc.collect()
    objects = gc.get_objects()
    # No function may close over the list: it holds the cell for that too, and so itself and all else.
    count = functools.partial(_count, objects)
    bridges = [each for each in objects if isinstance(each, libvirtaio.virEventAsyncIOImpl)]
    pools = [each for each in objects if isinstance(each, concurrent.futures.ThreadPoolExecutor)]
    workers = {thread.ident for pool in pools for thread in pool._threads}
    # No frame may stay in a local: this one would hold itself, and all objects with it, until the next collection.
    functions = {ident: frame.f_code.co_name for ident, frame in sys._current_frames().items()}
    return {
        "held": {
            "tasks": len(asyncio.all_tasks(watch.loop)),
            "timers": sum(each.name not in _PASSING for each in objects if isinstance(each, Timer)),
            "streams": count(libvirt.virStream),
            "connections": count(libvirt.virConnect),
            "domains": count(libvirt.virDomain),
            "event handles": sum(len(bridge.callbacks) for bridge in bridges),
            "descriptors": sum(len(bridge.descriptors) for bridge in bridges),
            "files": sum(1 for _ in Path("/proc/self/fd").iterdir()),
            "other threads": sum(thread.ident not in workers for thread in threading.enumerate()),
        },
        "workers": len(workers),
        # One that has nothing to do waits in the pool's own function.
        "busy_workers": sum(functions.get(ident or 0, "_worker") != "_worker" for ident in workers),
        "types": dict(Counter(_type_of(each) for each in objects)),
    }
