"""The metrics socket answers `GET /metrics`, and nobody who uses it wrongly can harm it."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.harness.scraping import Scraped, get
from virtmuxd.core.registry import Registry
from virtmuxd.service import metrics_http as module
from virtmuxd.service.clients import Clients
from virtmuxd.service.exposition import Format
from virtmuxd.service.measurements import Measurements
from virtmuxd.service.metrics_http import MAX_CONNECTIONS, MAX_HEAD, MetricsListener, Request, parse

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


class Served:
    """A listener at `path`, until `stop`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stop = asyncio.Event()
        self.measurements = Measurements(Registry(), Clients(), 0, per_console=True)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen(64)
        listening.setblocking(False)
        self.listener = MetricsListener(listening, self.measurements)


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[Served]:
    served = Served(path)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(served.listener.run(served.stop))
        yield served
        served.stop.set()
    served.measurements.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m"


async def test_metrics_are_openmetrics_unless_only_plain_text_is_asked_for(path: Path) -> None:
    async with serving(path):
        head, body = await get(path)
        assert head.splitlines()[0] == b"HTTP/1.1 200 OK"
        assert b"Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n" in head
        assert b"Content-Length: %d\r\n" % len(body) in head
        assert Scraped(body.decode())("virtmux_clients") == 0

        head, body = await get(path, b"GET /metrics HTTP/1.1\r\nACCEPT: text/plain\r\n\r\n")
        assert b"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n" in head
        assert body.startswith(b"# HELP virtmux_build_info")
        assert b"# EOF" not in body


async def test_a_head_alone_can_be_asked_for(path: Path) -> None:
    async with serving(path):
        head, body = await get(path, b"HEAD /metrics HTTP/1.1\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b""


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", HTTPStatus.NOT_FOUND),
        (b"GET /metrics/../etc HTTP/1.1\r\n\r\n", HTTPStatus.NOT_FOUND),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", HTTPStatus.METHOD_NOT_ALLOWED),
        (b"GET /metrics\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET /metrics SPDY/3\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"\xff\x00\xff\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * MAX_HEAD + b"\r\n\r\n", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
        (b"x" * 10 * MAX_HEAD, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    ],
)
async def test_what_is_no_request_for_metrics_is_told_so(path: Path, request_: bytes, status: HTTPStatus) -> None:
    async with serving(path):
        head, body = await get(path, request_)
        assert head.startswith(f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode())
        assert body == f"{status.value} {status.phrase}\n".encode()
        assert (b"Allow: GET, HEAD" in head) is (status is HTTPStatus.METHOD_NOT_ALLOWED)
        assert (await get(path))[0].startswith(b"HTTP/1.1 200")


async def test_a_request_may_come_in_pieces_and_who_says_nothing_gets_nothing(path: Path) -> None:
    async with serving(path):
        reader, writer = await asyncio.open_unix_connection(path)
        for piece in (b"GET /met", b"rics HTTP/1.1\r", b"\n\r", b"\n"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
        writer.close()

        reader, writer = await asyncio.open_unix_connection(path)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()


async def test_who_is_too_slow_is_sent_away_and_holds_up_no_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEADLINE", 0.2)
    async with serving(path):
        idle = [await asyncio.open_unix_connection(path) for _ in range(2 * MAX_CONNECTIONS)]
        assert (await get(path))[0].startswith(b"HTTP/1.1 200 OK")
        for reader, writer in idle:
            assert await reader.read() == b""
            writer.close()


async def test_a_bug_ends_one_connection_and_no_other(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(path):
        with monkeypatch.context() as patched:
            patched.setattr(module, "parse", lambda _head: 1 // 0)
            assert await get(path) == (b"", b"")
        assert (await get(path))[0].startswith(b"HTTP/1.1 200 OK")
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == [
        "a bug while metrics were served"
    ]


async def test_the_stop_ends_all_at_once(path: Path) -> None:
    async with serving(path):
        idle = [await asyncio.open_unix_connection(path) for _ in range(2 * MAX_CONNECTIONS)]
    for reader, writer in idle:
        assert await _rest(reader) == b""
        writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_unix_connection(path)


async def _rest(reader: asyncio.StreamReader) -> bytes:
    """What still comes; of who was not let in the connection is broken off."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize(
    ("accept", "format_"),
    [
        ("", Format.OPENMETRICS),
        ("*/*", Format.OPENMETRICS),
        ("text/plain;version=0.0.4", Format.PROMETHEUS),
        (PROMETHEUS_2_42, Format.OPENMETRICS),
    ],
)
def test_the_format_is_the_one_that_is_accepted(accept: str, format_: Format) -> None:
    head = f"GET /metrics?x=y HTTP/1.0\r\nHost: x\r\nAccept: {accept}\r\n\r\n".encode()
    assert parse(head) == Request(format_, with_body=True)
