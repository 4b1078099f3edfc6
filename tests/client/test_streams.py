"""stdin and stdout on the event loop."""

import asyncio
import errno
import fcntl
import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import pytest

from virtmux_cli.streams import Outlet, read


@pytest.fixture
def pipe() -> Iterator[tuple[FileIO, FileIO]]:
    """Its two ends, as files: one that a test has closed is not closed again, by then as somebody else's descriptor."""
    reader, writer = os.pipe()
    with FileIO(reader, "rb") as reading, FileIO(writer, "wb") as writing:
        yield reading, writing


class TestReading:
    async def test_a_pipe_is_read_to_its_end_and_stays_blocking(self, pipe: tuple[FileIO, FileIO]) -> None:
        reader, writer = pipe
        writer.write(b"one")
        assert await read(reader.fileno()) == b"one"
        writer.close()
        assert await read(reader.fileno()) == b""
        assert not fcntl.fcntl(reader.fileno(), fcntl.F_GETFL) & os.O_NONBLOCK

    async def test_a_file_and_dev_null_are_read_to_their_end(self, tmp_path: Path) -> None:
        path = tmp_path / "input"
        path.write_bytes(b"text")
        for name, pieces in ((path, [b"text", b""]), (Path(os.devnull), [b""])):
            fd = os.open(name, os.O_RDONLY)
            assert [await read(fd) for _ in pieces] == pieces
            os.close(fd)

    async def test_a_cancelled_read_takes_nothing(self, pipe: tuple[FileIO, FileIO]) -> None:
        reader, writer = pipe
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await read(reader.fileno())
        writer.write(b"later")
        assert await read(reader.fileno()) == b"later"


class TestWriting:
    async def test_a_slow_reader_makes_it_wait_and_loses_nothing(self, pipe: tuple[FileIO, FileIO]) -> None:
        reader, writer = pipe
        outlet = Outlet(writer.fileno())
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
                got += await read(reader.fileno())
        assert got == sent
        outlet.close()

    async def test_that_nobody_reads_is_noticed_while_nothing_is_written(self, pipe: tuple[FileIO, FileIO]) -> None:
        reader, writer = pipe
        outlet = Outlet(writer.fileno())
        reader.close()
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

    async def test_a_nonblocking_pipe_is_written_as_a_whole(self, pipe: tuple[FileIO, FileIO]) -> None:
        reader, writer = pipe
        os.set_blocking(writer.fileno(), False)
        outlet = Outlet(writer.fileno())
        await outlet.write(bytes(200_000))
        await _written_out(outlet, reader, 200_000)

    async def test_what_is_put_is_written_before_the_process_may_stop_or_time_is_up(
        self, pipe: tuple[FileIO, FileIO]
    ) -> None:
        reader, writer = pipe
        outlet = Outlet(writer.fileno())
        outlet.put(b"given back")
        outlet.settle(10)
        assert reader.read(100) == b"given back"
        outlet.put(bytes(1 << 20))  # more than a pipe takes
        outlet.settle(0.05)
        assert outlet.unwritten >= 1 << 20
        await _written_out(outlet, reader, 1 << 20)


async def _written_out(outlet: Outlet, reader: FileIO, size: int) -> None:
    """All that waits is read, and the outlet's thread through with it: the descriptor may become somebody else's."""
    async with asyncio.timeout(10):
        while size > 0:
            size -= len(await read(reader.fileno()))
        await outlet.flush()
    outlet.close()
