"""The blocking twin against a scripted daemon: the daemon's part is played by the test's own loop, the client's by
threads."""

import asyncio
import contextlib
import inspect
import os
import select
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest

import virtmux.sync
from tests.harness.command import environment
from tests.harness.scripted_daemon import (
    AT,
    HANDLE,
    MEASURED,
    Peer,
    ScriptedDaemon,
    console_info,
    place,
    playing,
    reason,
)
from virtmux.features import Feature
from virtmux.following import Record
from virtmux.loop_thread import LoopThread
from virtmux.messages import (
    Attach,
    Console,
    Done,
    Event,
    Goodbye,
    InputStatus,
    ListConsoles,
    MetricsText,
    OpenMetrics,
    PlaceEnded,
    Refused,
    Release,
    StatisticsMessage,
    Status,
    Watch,
)
from virtmux.reasons import Cause
from virtmux.records import Note
from virtmux.wire import Output

DOWN = reason(Cause.GUEST_SHUTDOWN, will_retry=True)
_T = TypeVar("_T")
Script = Callable[[Peer], Coroutine[Any, Any, None]]


async def used(daemon: ScriptedDaemon, script: Script, use: Callable[[virtmux.sync.Client], _T]) -> _T:
    """What a program that blocks does with a connection, while the daemon plays its part."""

    async def play(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        await script(peer)
        await peer.gone()

    def program() -> _T:
        with virtmux.sync.connect(daemon.path) as mux:
            return use(mux)

    async with playing(daemon, play):
        return await asyncio.to_thread(program)


async def attached(peer: Peer) -> None:
    peer.say(place((await peer.expect(Attach)).id))


async def test_expect_read_and_write_as_a_driver_uses_them(daemon: ScriptedDaemon) -> None:
    async def script(peer: Peer) -> None:
        await attached(peer)
        peer.output(b"boot\r\nlogin: ", at=0)
        assert await peer.expect_input(5) == b"root\r"
        peer.say(InputStatus(HANDLE, 1, accepted=5))
        peer.output(b"root\r\n# ", at=13)
        peer.ended(1, DOWN, at=21)

    def use(mux: virtmux.sync.Client) -> None:
        with mux.attach("web1") as console:
            assert console.expect(rb"login: ", 10).before == b"boot\r\n"
            console.write(b"root\r")
            assert console.read(6, timeout=10) == b"root\r\n"
            assert console.read(timeout=10) == b"# "
            assert console.position.offset == 21
            with pytest.raises(virtmux.ConsoleEnded) as ended:
                console.expect(b"x", 10)
            assert ended.value.reason == DOWN
            assert console.attachment is None
            assert console.until_ended(0) == DOWN
            with pytest.raises(virtmux.TimedOut):
                console.read(timeout=0.05)

    await used(daemon, script, use)


async def test_its_file_descriptor_is_readable_while_there_is_something_to_read(daemon: ScriptedDaemon) -> None:
    go_on = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def script(peer: Peer) -> None:
        await attached(peer)
        peer.mark(1, Note(AT, "paused"), at=0)
        peer.say(Done((await peer.expect(Release)).id))  # what came before it has arrived
        await go_on.wait()
        peer.output(b"abc", at=0)

    def ready(console: virtmux.sync.Console, seconds: float) -> bool:
        return bool(select.select([console], [], [], seconds)[0])

    def use(mux: virtmux.sync.Client) -> None:
        with mux.attach("web1") as console:
            mux.release("web1")
            assert not ready(console, 0)
            loop.call_soon_threadsafe(go_on.set)
            assert ready(console, 10)
            assert console.read(2, timeout=0) == b"ab"
            assert ready(console, 0)
            assert console.read(timeout=0) == b"c"
            assert not ready(console, 0)
            descriptor = console.fileno()
            assert not os.get_inheritable(descriptor)
            assert not os.get_blocking(descriptor)
        with pytest.raises(OSError, match="Bad file descriptor"):
            select.select([descriptor], [], [], 0)
        assert console.fileno() == -1
        console.close()  # a second time lets go of nothing

    await used(daemon, script, use)


async def test_one_thread_may_write_while_another_reads(daemon: ScriptedDaemon) -> None:
    async def script(peer: Peer) -> None:
        await attached(peer)
        assert await peer.expect_input(1) == b"x"
        peer.say(InputStatus(HANDLE, 1, accepted=1))
        peer.output(b"echo", at=0)

    def use(mux: virtmux.sync.Client) -> bytes:
        with mux.attach("web1") as console:
            read: list[bytes] = []
            reader = threading.Thread(target=lambda: read.append(console.read(timeout=10)))
            reader.start()
            console.write(b"x")
            reader.join()
            return read[0]

    assert await used(daemon, script, use) == b"echo"


async def test_leaving_the_context_ends_whoever_still_reads(daemon: ScriptedDaemon) -> None:
    def use(mux: virtmux.sync.Client) -> None:
        told: list[BaseException] = []

        def read(console: virtmux.sync.Console) -> None:
            try:
                console.read()
            except virtmux.ConsoleEnded as error:
                told.append(error)

        with mux.attach("web1") as console:
            reader = threading.Thread(target=read, args=(console,))
            reader.start()
        reader.join(10)
        assert [str(each) for each in told] == ["detached"]

    await used(daemon, attached, use)


async def test_records_and_events_can_be_iterated_over(daemon: ScriptedDaemon) -> None:
    event = Event(event="appeared", at=AT, console=console_info().id, offset=0)

    async def script(peer: Peer) -> None:
        await attached(peer)
        peer.output(b"abc", at=0)
        watch = await peer.expect(Watch)
        peer.say(event, Done(watch.id))

    def use(mux: virtmux.sync.Client) -> None:
        with mux.attach("web1") as console, contextlib.closing(mux.events()) as events:
            assert next(iter(console)) == Output(HANDLE, 0, b"abc")
            assert next(events) == event

    await used(daemon, script, use)


async def test_a_connection_that_is_not_to_be_made_again_is_the_end_of_the_records(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        await attached(peer)
        peer.close()

    def program() -> list[Record]:
        with virtmux.sync.connect(daemon.path, reconnect_for=0) as mux, mux.attach("web1") as console:
            return list(console)

    async with playing(daemon, script):
        *_, last = await asyncio.to_thread(program)
    assert isinstance(last, PlaceEnded)
    assert last.reason.cause is Cause.SERVER_LOST


async def test_requests_are_answered_or_raise_as_in_asyncio(daemon: ScriptedDaemon) -> None:
    async def script(peer: Peer) -> None:
        asked = await peer.expect(ListConsoles)
        peer.say(Console(asked.id, console_info()), Done(asked.id))
        peer.say(Refused((await peer.expect(Attach)).id, reason(Cause.CONSOLE_MISSING)))

    def use(mux: virtmux.sync.Client) -> None:
        assert mux.consoles() == [console_info()]
        with pytest.raises(virtmux.Refused) as refused, mux.attach("web2"):
            pass
        assert refused.value.reason.cause is Cause.CONSOLE_MISSING

    await used(daemon, script, use)


async def test_what_the_daemon_measures_is_told_as_in_asyncio(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        asked = await peer.expect(Status)
        peer.say(StatisticsMessage(asked.id, MEASURED), Done(asked.id))
        text = await peer.expect(OpenMetrics)
        peer.say(MetricsText(text.id, "a "), MetricsText(text.id, "text"), Done(text.id))

    def use(mux: virtmux.sync.Client) -> None:
        assert mux.statistics() == MEASURED
        assert mux.openmetrics() == "a text"

    await used(ScriptedDaemon(tmp_path / "virtmux.sock", features=[Feature.STATISTICS]), script, use)


async def test_the_daemons_end_is_an_exception_and_no_hanging(daemon: ScriptedDaemon) -> None:
    async def script(peer: Peer) -> None:
        await attached(peer)
        peer.say(Goodbye(reason(Cause.EVICTED)))

    def use(mux: virtmux.sync.Client) -> None:
        with mux.attach("web1") as console:
            with pytest.raises(virtmux.ConsoleEnded) as ended:
                console.read(timeout=10)
            assert ended.value.reason.cause is Cause.EVICTED

    await used(daemon, script, use)


def test_where_no_daemon_answers_connecting_says_so_and_leaves_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    with pytest.raises(virtmux.ConnectionLost, match="no virtmuxd answers"), virtmux.sync.connect(tmp_path / "none"):
        pass
    assert threading.active_count() == before


async def test_outside_of_its_context_a_client_says_so(daemon: ScriptedDaemon) -> None:
    async def script(peer: Peer) -> None:
        pass

    mux = await used(daemon, script, lambda mux: mux)
    with pytest.raises(RuntimeError, match="the connection is closed"):
        mux.consoles()
    with pytest.raises(RuntimeError, match="the connection is closed"), mux.attach("web1"):
        pass


async def test_a_program_that_never_leaves_ends_all_the_same_and_in_silence(daemon: ScriptedDaemon) -> None:
    program = """
import threading, virtmux.sync
entered = virtmux.sync.connect()
mux = entered.__enter__()
place = mux.attach("web1")
console = place.__enter__()
waiting = threading.Thread(target=lambda: console.read(), daemon=True)
waiting.start()
"""

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        await attached(peer)
        await peer.gone()

    def run() -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-c", program]
        return subprocess.run(command, env=environment(daemon.path), capture_output=True, timeout=60, check=False)

    async with playing(daemon, script):
        ended = await asyncio.to_thread(run)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"was destroyed" not in ended.stderr


@pytest.mark.parametrize(
    ("asynchronous", "blocking", "left_out"),
    [
        (virtmux.Client, virtmux.sync.Client, set()),
        (
            virtmux.Console,
            virtmux.sync.Console,
            # What the connection calls, and what only tasks need.
            {"attach_again", "end", "input_states", "input_status", "lost", "placed", "progress", "receive", "refused"}
            | {"on_arrival", "readable"},
        ),
    ],
)
def test_it_has_what_the_asyncio_library_has(asynchronous: type, blocking: type, left_out: set[str]) -> None:
    named = {name for name in vars(asynchronous) if not name.startswith("_")}
    assert named - left_out - set(vars(blocking)) == set()
    for name in named - left_out:
        if callable(getattr(asynchronous, name)):
            there, here = (inspect.signature(getattr(each, name)).parameters for each in (asynchronous, blocking))
            assert set(there) - set(here) - {"notice"} == set(), name


class Given:
    """Stands for an object of the asyncio library, and keeps what a method of it is given."""

    readable = False

    def __init__(self, kind: type) -> None:
        self._kind = kind
        self.arguments: dict[str, Any] = {}

    def on_arrival(self, call: object) -> None:
        """What every blocking console asks for."""

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._kind, name)

        def take(*arguments: Any, **named: Any) -> Any:
            self.arguments = inspect.signature(method).bind(self, *arguments, **named).arguments
            return self._done() if inspect.iscoroutinefunction(method) else self._entered()

        return take

    async def _done(self) -> None:
        pass

    @contextlib.asynccontextmanager
    async def _entered(self) -> AsyncIterator[Self]:
        yield self


@pytest.mark.parametrize(
    ("asynchronous", "blocking", "name"),
    [
        (asynchronous, blocking, name)
        for asynchronous, blocking in ((virtmux.Client, virtmux.sync.Client), (virtmux.Console, virtmux.sync.Console))
        for name, method in vars(blocking).items()
        if not name.startswith("_") and callable(method) and len(inspect.signature(method).parameters) > 1
    ],
)
def test_whatever_it_is_given_it_gives_the_asyncio_library(asynchronous: type, blocking: type, name: str) -> None:
    arguments = {each: object() for each in inspect.signature(getattr(blocking, name)).parameters if each != "self"}
    other = Given(asynchronous)
    with LoopThread() as loop:
        ours = blocking(loop, other)
        with getattr(ours, name)(**arguments) or contextlib.nullcontext():
            pass
        if isinstance(ours, virtmux.sync.Console):
            ours.close()
    assert other.arguments == {"self": other, **arguments}


def test_it_imports_neither_libvirt_nor_the_daemon() -> None:
    program = "import sys, virtmux.sync; sys.exit(bool({'libvirt', 'virtmuxd'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], env=environment(Path("/x")), check=False).returncode == 0
