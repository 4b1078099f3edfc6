"""However many bad clients come, the log has so many lines and no more, and says how many it has not."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.harness.consoles import Consoles
from tests.harness.served import hall
from virtmux.messages import Attach, ClientHello, encode
from virtmuxd.core.access import AccessRules, Right, Rule
from virtmuxd.core.log_fields import AUDIT
from virtmuxd.logs import outlet as outlet_module
from virtmuxd.logs.outlet import MOST, Outlet
from virtmuxd.logs.sinks import Lines
from virtmuxd.service.callers import Callers
from virtmuxd.service.listener import Listener, bind

#: Clients of a flood.
FLOOD = 300
DEADLINE = 60.0
WATCHING = AccessRules([Rule(frozenset(), frozenset(), True, ("*",), frozenset({Right.WATCH}))], ())


@pytest.fixture
def directory() -> Iterator[Path]:
    with TemporaryDirectory(prefix="vmx") as name:
        yield Path(name)


@asynccontextmanager
async def listening(path: Path, access: AccessRules) -> AsyncIterator[None]:
    """A listener whose log is written to a file beside its socket."""
    loggers = [logging.getLogger(name) for name in (None, AUDIT, outlet_module.__name__)]
    stop, entrance = asyncio.Event(), hall(Consoles().registry)
    entrance.access = access
    entrance.registry.add(Consoles().add().console)
    with path.with_suffix(".log").open("wb") as log:
        outlet = Outlet(Lines(log.fileno(), to_journal=False))
        for logger in loggers:
            logger.setLevel(logging.INFO)
        loggers[0].addHandler(outlet)
        try:
            async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
                listener = Listener(bind(path), entrance, Callers(), read_only=False)
                tasks.create_task(listener.run(stop))
                yield
                stop.set()
        finally:
            outlet.flush_within(DEADLINE)
            loggers[0].removeHandler(outlet)
            for logger in loggers:
                logger.setLevel(logging.WARNING if logger is loggers[0] else logging.NOTSET)


async def come(path: Path, said: bytes) -> None:
    """One client says this, hears what is answered, and is gone."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(said)
    writer.write_eof()
    await reader.read()
    writer.close()


def number_of(log: str, message: str) -> tuple[int, int]:
    """How many lines have this message, and of how many more it is told that they do not."""
    left_out = re.findall(rf"more like this were not logged like='{message}' number=(\d+)", log)
    return len(re.findall(rf"^\w+ {message} ", log, re.MULTILINE)), sum(map(int, left_out))


async def test_a_flood_of_clients_that_break_the_protocol_is_some_lines(directory: Path) -> None:
    path = directory / "v.sock"
    async with listening(path, WATCHING):
        for _ in range(FLOOD):
            await come(path, b"\xff" * 100)
    log = path.with_suffix(".log").read_text()
    for message in ("client connected", "client left"):
        assert number_of(log, message) == (MOST, FLOOD - MOST)
    assert len(log.splitlines()) < 4 * MOST


async def test_a_flood_of_what_is_denied_is_some_lines(directory: Path) -> None:
    path = directory / "v.sock"
    asked = b"".join(encode(Attach(number, "web1", force=True)) for number in range(FLOOD))
    async with listening(path, WATCHING):
        await come(path, encode(ClientHello()) + asked)
    assert number_of(path.with_suffix(".log").read_text(), "audit: denied") == (MOST, FLOOD - MOST)
