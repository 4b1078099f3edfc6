"""A daemon but for libvirt and its listeners, on a loop, a clock and a disk that a test turns; and the host it is on.

Consoles, rings, journal, library and clients are the real ones, on real files and sockets. A test says what the guest
does, when the disk writes and reads, when time passes, and when the daemon dies.
"""

import asyncio
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, assert_never
from unittest import mock

from msgspec.structs import replace

from tests.harness.consoles import HYPERVISOR, START, URI, UUID
from tests.harness.served import connection, hall, newcomer
from tests.harness.stepped_loop import SteppedLoop, SteppedThreads
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, LibvirtEvent, Phase, Retry
from virtmuxd.config.schema import Config
from virtmuxd.core.console_key import ConsoleKey, Naming
from virtmuxd.core.effects import ClearTimer, Close, Command, Open, Query, SetTimer
from virtmuxd.core.events import (
    Answered,
    Cleaned,
    Elapsed,
    Event,
    Failed,
    Opened,
    OpenFailed,
    Policy,
    Started,
    Stopped,
    Timer,
    Up,
)
from virtmuxd.core.evidence import Failure
from virtmuxd.core.limits import LimitRules, LimitsInForce
from virtmuxd.core.registry import Registry
from virtmuxd.service.runtime import RuntimeDirectory
from virtmuxd.shelf import Shelf

if TYPE_CHECKING:
    from virtmux import messages
    from virtmuxd.core.inputs import Batch

KEY = ConsoleKey(HYPERVISOR, UUID, "serial0")
DOMAIN = "web1"
#: The smallest ring that can be configured, in bytes, and the smallest window.
RING = WINDOW = 16384
#: What the kernel holds for a client, in bytes, so that it soon lags.
_BUFFER = 4096
_DESTROYED = LibvirtEvent("SHUTOFF", "DESTROYED")


class Host:
    """What outlives a daemon: the files, which boot it is, the guest and the time."""

    def __init__(self, base: Path, loop: SteppedLoop) -> None:
        self.base = base
        self.loop = loop
        self.boots = 1
        #: The running id of the guest; -1: it does not run.
        self.running_id = -1
        self.starts = 0

    @property
    def runtime(self) -> Path:
        return self.base / "run"

    @property
    def journal(self) -> Path:
        return self.base / "journal"

    @contextmanager
    def here(self) -> Iterator[None]:
        """The clock of this host is the one that the code sees."""
        with mock.patch("time.time_ns", lambda: START + round(self.loop.now * 1e9)):
            yield

    def reboot(self) -> None:
        """The runtime directory was on a tmpfs; the guest is gone."""
        shutil.rmtree(self.runtime)
        self.boots += 1
        self.running_id = -1


class SteppedDaemon:
    """See the module: the hypervisor's side of the console, and the doors for clients. It ends by `kill` or `stop`."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.loop = host.loop
        self.is_alive = True
        self.told: list[messages.Event] = []
        #: What the disk writes and reads.
        self.writing, self.reading = SteppedThreads(), SteppedThreads()
        self._doors: list[socket.socket] = []
        self._timers: dict[Timer, asyncio.TimerHandle] = {}
        self._batch: Batch | None = None
        self.runtime = RuntimeDirectory(host.runtime)
        self.registry = Registry()
        self.registry.watch(self.told.append)
        self.loop.complete(self._begin())

    async def _begin(self) -> None:
        config = Config(
            uri=(URI,),
            socket=str(self.host.runtime / "virtmux.sock"),
            attach=Policy.ALWAYS,
            ring=RING,
            journal_directory=str(self.host.journal),
            journal_size=65536,
            journal_keep=1000,
            journal_free=0,
        )
        with (
            mock.patch("virtmuxd.shelf.boot_id", lambda: self.host.boots),
            mock.patch("virtmuxd.service.journal.writer.ThreadPoolExecutor", lambda *_: self.writing),
            mock.patch("virtmuxd.service.journal.readers.ThreadPoolExecutor", lambda *_: self.reading),
        ):
            self.shelf = Shelf(config, self.registry, self.runtime)
        self.hall = hall(self.registry, self.shelf.library, limits=LimitsInForce(LimitRules(input_window=WINDOW)))
        await self.shelf.begin()
        self._life = self.loop.create_task(self._live())
        self.registry.serve(URI, time.time_ns())
        self.registry.identified(HYPERVISOR, URI)
        self.console = self.shelf.console(KEY, Naming(URI, DOMAIN, "pty", 1))
        self.console.hold_by(self)
        self.registry.add(self.console)
        self.console.appear(self.console.naming, time.time_ns())
        self._post(Up(time.time_ns(), self.host.running_id))

    async def _live(self) -> None:
        async with asyncio.TaskGroup() as self._tasks:
            self.shelf.write(self._tasks)
            await asyncio.Event().wait()

    def let_in(self) -> socket.socket:
        """A client comes; this is its end of the connection."""
        ours, theirs = connection(_BUFFER)
        self._doors.append(theirs)
        self.loop.do(lambda: self._tasks.create_task(newcomer(theirs, self.hall).run()))
        return ours

    # The hypervisor's side of the console (`virtmuxd.core.holder.Holder`).

    def carry_out(self, command: Command) -> None:
        now = time.time_ns()
        match command:
            case Open():
                opened = self.host.running_id >= 0
                answer = Opened(now, self.host.running_id) if opened else OpenFailed(now, cause=Cause.GUEST_NOT_RUNNING)
                self.loop.call_soon(self._post, answer)
            case Close():
                self.loop.call_soon(self._post, Cleaned(now))
            case Query(attachment):
                stopped = None if self.host.running_id >= 0 else _DESTROYED
                self.loop.call_soon(self._post, Answered(now, attachment, stopped))
            case SetTimer(timer, seconds):
                self.carry_out(ClearTimer(timer))
                self._timers[timer] = self.loop.call_later(seconds, self._elapsed, timer)
            case ClearTimer(timer):
                if timer in self._timers:
                    self._timers.pop(timer).cancel()
            case _:
                assert_never(command)

    def _elapsed(self, timer: Timer) -> None:
        del self._timers[timer]
        self._post(Elapsed(time.time_ns(), timer))

    def _post(self, event: Event) -> None:
        self.console.handle_event(event)

    def send_input(self) -> None:
        """It is taken when a test says so."""

    def retire(self) -> None:
        raise AssertionError("it has not vanished")

    def depart(self) -> None:
        raise AssertionError("it goes nowhere")

    def report_bug(self) -> None:
        raise  # noqa: PLE0704  # called while the exception is handled

    # What the guest does, and libvirt with what is typed at it.

    def happen(self, event: Event) -> None:
        """The hypervisor tells something."""
        self.loop.do(lambda: self.console.handle_event(event))

    def start_guest(self) -> None:
        self.host.starts += 1
        self.host.running_id = self.host.starts
        self.happen(Started(time.time_ns(), self.host.running_id))

    def print(self, *pieces: bytes) -> None:
        self.loop.do(lambda: self.console.receive(pieces, time.time_ns()))

    def end_guest(self) -> None:
        """Its console ends; how, is not told yet."""
        self.host.running_id = -1
        self._batch = None
        self.happen(Failed(Failure(Phase.RECEIVE, time.time_ns())))

    def tell_end(self) -> None:
        self.happen(Stopped(time.time_ns(), LibvirtEvent("STOPPED", "DESTROYED")))

    def take_input(self) -> tuple[bytes, bool]:
        """libvirt takes some of what waits: gives that, and whether its fence is to be answered, before which it takes
        no more."""
        if self._batch is not None or (batch := self.console.inputs.take()) is None:
            return b"", False
        self._batch = batch
        data, fence = b"".join(self._batch.packets), self._batch.fence
        if not fence:
            self.answer_fence()
        return data, fence

    def answer_fence(self) -> None:
        """What was taken is in the guest's line."""
        batch, self._batch = self._batch, None
        if batch is not None:
            self.loop.do(lambda: self.console.sent(batch, time.time_ns()))

    # Its end.

    def kill(self) -> None:
        """By SIGKILL: the files are left as they are now."""
        self._be_alive()
        left = self.host.base / "left"
        shutil.copytree(self.host.runtime, left)
        self.writing.shutdown()
        self._let_go()
        shutil.rmtree(self.host.runtime)  # what is done of what was under way is done to these
        left.rename(self.host.runtime)

    def stop(self) -> None:
        """In order; the disk writes what it is given."""
        reason = replace(reason_now(Cause.SERVER_STOPPING, phase=Phase.SERVER), retry=Retry(will_retry=True))
        for client in self.hall.clients:
            self.loop.do(partial(client.dismiss, reason))
        self.writing.hold_up(held_up=False)
        self.loop.complete(self.shelf.finish())
        self._be_alive()
        self._let_go()

    def _be_alive(self) -> None:
        now = time.time_ns()
        os.utime(self.host.runtime / "virtmuxd.lock", ns=(now, now))

    def _let_go(self) -> None:
        self.is_alive = False
        for timer in self._timers.values():
            timer.cancel()
        self._life.cancel()
        self.loop.settle()
        for door in self._doors:
            door.close()
        self.shelf.close()
        self.runtime.close()


@contextmanager
def stepped_host(base: Path) -> Iterator[Host]:
    """A host whose clock is the one that all see, until the context is left."""
    loop = SteppedLoop()
    host = Host(base, loop)
    with ExitStack() as stack:
        stack.callback(loop.close)
        stack.enter_context(host.here())
        yield host
