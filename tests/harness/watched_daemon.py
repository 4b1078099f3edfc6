"""virtmuxd as it is, in a process where its loop is watched: `python -m tests.harness.watched_daemon PORT ARGUMENTS...`

PORT is the path of a socket where the tests ask: a line with a word, and what it needs, answered by a line of JSON. A
thread of its own serves it, so that the loop is not disturbed. `WatchPort` is the tests' end.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

#: More than any callback may need at once, in ms of CPU; 256 KiB of output, the most that a turn takes, needs some 5.
BUDGET_MS = 50.0
#: How long it may take until what was let go is gone, in seconds: thousands of connections, on a loaded machine.
SETTLE_S = 120.0
_CLIENT = "virtmuxd.service.client.Client"


class Report(NamedTuple):
    """What the loop did since it was armed."""

    offences: dict[str, int]
    """Blocking calls: which, where in the code, called by which callback; and how often."""
    most_ms: dict[str, float]
    """The most CPU time that one call of a callback took, in ms, by the callback's name."""
    calls: int

    @property
    def over_budget(self) -> dict[str, float]:
        """The callbacks that took too long."""
        return {name: most for name, most in self.most_ms.items() if most > BUDGET_MS}


class Census(NamedTuple):
    """What the process holds; see `loop_watch.census`."""

    held: dict[str, int]
    workers: int
    busy_workers: int
    types: dict[str, int]

    def more_than(self, before: "Census") -> dict[str, int]:
        """What there is more of than before."""
        return {name: self.held[name] - count for name, count in before.held.items() if self.held[name] > count}

    def grown(self, before: "Census") -> dict[str, int]:
        """The types of which there are more objects than before, the most first: they name a leak."""
        more = {name: count - before.types.get(name, 0) for name, count in self.types.items()}
        return dict(sorted(((name, n) for name, n in more.items() if n > 0), key=lambda each: -each[1])[:12])


class WatchPort:
    """The tests' end of a watched daemon's port."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def arm(self) -> None:
        """Begin to count calls and offences, from nothing."""
        await self._ask("arm")

    async def report(self) -> Report:
        """What happened since `arm`."""
        return Report(**await self._ask("report"))

    async def census(self) -> Census:
        """What there is now."""
        return Census(**await self._ask("census"))

    async def at_rest(self) -> Census:
        """The census once no console is open."""
        return await self._census_once(lambda now: not now.held["streams"])

    async def with_clients(self, number: int) -> Census:
        """The census once there are so many clients, with those that have not said hello."""
        return await self._census_once(lambda now: now.types.get(_CLIENT, 0) == number)

    async def settled(self, before: Census) -> Census:
        """The census once there is no more of anything than before."""
        return await self._census_once(lambda now: not now.more_than(before))

    async def _census_once(self, true: Callable[[Census], bool]) -> Census:
        """The census once this holds of it and no worker is busy, or after a while that would have been enough.

        It asks again and again: that the last connection is closed and freed is no event for anybody. The daemon cannot
        do anything while it counts: it has as long for itself in between.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + SETTLE_S
        while True:
            asked = loop.time()
            now = await self.census()
            if (true(now) and not now.busy_workers) or loop.time() > until:
                return now
            await asyncio.sleep(loop.time() - asked)

    async def kept(self) -> int:
        """See `loop_watch.kept`."""
        kept: int = await self._ask("kept")
        return kept

    async def step_clock(self, seconds: int) -> None:
        """Have it take the time of day for so many seconds ahead of what it is, or behind."""
        await self._ask(f"step {seconds}")

    async def plant(self) -> None:
        """Have the loop run a callback that blocks in every way that is watched for."""
        await self._ask("plant")

    async def _ask(self, words: str) -> Any:
        reader, writer = await asyncio.open_unix_connection(self.path, limit=1 << 24)
        try:
            writer.write(f"{words}\n".encode())
            return json.loads(await reader.readline())
        finally:
            writer.close()
            await writer.wait_closed()


# The daemon's side.


def main() -> None:
    """Run virtmuxd's own main under a watch."""
    import uvloop

    from tests.harness.loop_watch import LoopWatch, census, kept

    port, *arguments = sys.argv[1:]
    clock = _Clock()
    time.time, time.time_ns = clock.time, clock.time_ns
    watch = LoopWatch()
    watch.runtime = str(Path(arguments[arguments.index("--socket") + 1]).parent)
    watch.install()
    uvloop.new_event_loop = watch.new_loop

    def report() -> dict[str, Any]:
        most = {name: round(each.most / 1e6, 3) for name, each in watch.measured.copy().items()}
        calls = sum(each.calls for each in watch.measured.copy().values())
        return Report(dict(watch.offences), most, calls)._asdict()

    def plant() -> None:
        planted = threading.Event()
        assert watch.loop is not None
        watch.loop.call_soon_threadsafe(_offend, planted)
        planted.wait()

    answers: dict[str, Callable[..., Any]] = {
        "arm": watch.arm,
        "report": report,
        "census": partial(census, watch),
        "kept": kept,
        "plant": plant,
        "step": clock.step,
    }
    Path(port).unlink(missing_ok=True)  # of one that was killed
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(port)
    listener.listen()
    threading.Thread(target=_serve, args=(listener, answers), name="watch", daemon=True).start()

    from virtmuxd.__main__ import main as virtmuxd

    sys.argv = ["virtmuxd", *arguments]
    virtmuxd()


class _Clock:
    """The time of day, as it is or stepped. Intervals are measured by another clock, as they are."""

    def __init__(self) -> None:
        self._ahead_s = 0
        self._time, self._time_ns = time.time, time.time_ns

    def step(self, seconds: str) -> None:
        """Be so far ahead, or behind."""
        self._ahead_s = int(seconds)

    def time(self) -> float:
        """Instead of `time.time`."""
        return self._time() + self._ahead_s

    def time_ns(self) -> int:
        """Instead of `time.time_ns`."""
        return self._time_ns() + self._ahead_s * 10**9


def _serve(listener: socket.socket, answers: dict[str, Callable[..., Any]]) -> None:
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rw") as stream:
            word, *needs = stream.readline().split()
            stream.write(json.dumps(answers[word](*needs)) + "\n")


def _offend(done: threading.Event) -> None:
    """A callback that does all that none may do."""
    import libvirt

    libvirt.open("test:///default").getLibVersion()
    time.sleep(0.001)
    subprocess.run(["true"], check=True)
    near, far = socket.socketpair()
    with near, far:
        far.send(b"x")
        near.settimeout(1.0)  # Python polls before it reads
        near.recv(1)
    with Path(os.environ["NOTIFY_SOCKET"] + ".planted").open("wb") as file:
        os.fsync(file.fileno())
    until = time.thread_time() + 2 * BUDGET_MS / 1000
    while time.thread_time() < until:
        pass
    done.set()


if __name__ == "__main__":
    main()
