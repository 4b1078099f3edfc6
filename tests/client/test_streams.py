"""stdin and stdout on the event loop."""

import asyncio
import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtmux_cli.streams import Outlet, read


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(fd)


class TestReading:
    async def test_a_pipe_is_read_to_its_end_and_stays_blocking(self, pipe: tuple[int, int]) -> None:
        reader, writer = pipe
        os.write(writer, b"one")
        assert await read(reader) == b"one"
        os.close(writer)
        assert await read(reader) == b""
        assert not fcntl.fcntl(reader, fcntl.F_GETFL) & os.O_NONBLOCK

    async def test_a_file_and_dev_null_are_read_to_their_end(self, tmp_path: Path) -> None:
        path = tmp_path / "input"
        path.write_bytes(b"text")
        for name, pieces in ((path, [b"text", b""]), (Path(os.devnull), [b""])):
            fd = os.open(name, os.O_RDONLY)
            assert [await read(fd) for _ in pieces] == pieces
            os.close(fd)

    async def test_a_cancelled_read_takes_nothing(self, pipe: tuple[int, int]) -> None:
        reader, writer = pipe
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await read(reader)
        os.write(writer, b"later")
        assert await read(reader) == b"later"


class TestWriting:
    async def test_a_slow_reader_makes_it_wait_and_loses_nothing(self, pipe: tuple[int, int]) -> None:
        reader, writer = pipe
        outlet = Outlet(writer)
        sent = os.urandom(1 << 20)
        got = bytearray()

        async def fill() -> None:
            for start in range(0, len(sent), 65536):
                await outlet.write(sent[start : start + 65536])
                assert outlet.unwritten <= 262144
            await outlet.flush()

        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            filling = tasks.create_task(fill())
            while len(got) < len(sent):
                assert not filling.done() or outlet.unwritten == 0
                got += await read(reader)
        assert got == sent
        outlet.close()

    async def test_that_nobody_reads_is_noticed_while_nothing_is_written(self, pipe: tuple[int, int]) -> None:
        reader, writer = pipe
        outlet = Outlet(writer)
        os.close(reader)
        async with asyncio.timeout(10):
            assert isinstance(await outlet.failed, BrokenPipeError)
            await outlet.write(b"dropped")
            await outlet.flush()

    async def test_a_failed_write_is_told_once(self) -> None:
        fd = os.open("/dev/full", os.O_WRONLY)
        outlet = Outlet(fd)
        await outlet.write(b"x")
        async with asyncio.timeout(10):
            assert (await outlet.failed).errno == errno.ENOSPC
            await outlet.flush()
        os.close(fd)

    async def test_a_nonblocking_pipe_is_written_as_a_whole(self, pipe: tuple[int, int]) -> None:
        reader, writer = pipe
        os.set_blocking(writer, False)
        outlet = Outlet(writer)
        await outlet.write(bytes(200_000))
        got = 0
        while got < 200_000:
            got += len(await read(reader))
        await outlet.flush()
        outlet.close()

    async def test_what_is_put_is_written_before_the_process_may_stop_or_time_is_up(
        self, pipe: tuple[int, int]
    ) -> None:
        reader, writer = pipe
        outlet = Outlet(writer)
        outlet.put(b"given back")
        outlet.settle(10)
        assert os.read(reader, 100) == b"given back"
        outlet.put(bytes(1 << 20))  # more than a pipe takes
        outlet.settle(0.05)
        assert outlet.unwritten >= 1 << 20
        outlet.close()
