"""stdin and stdout as an event loop can use them, without O_NONBLOCK: that flag is shared with the shell."""

import asyncio
import fcntl
import os
import select
import stat
import threading

#: Bytes that are read of stdin at a time, at most.
READ = 16384
_BUFFER = 262144


async def read(fd: int) -> bytes:
    """The next bytes of input, at most `READ`; empty at its end, or where there is nothing to read from any more."""
    loop = asyncio.get_running_loop()
    if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
        return b""
    while True:
        readable = loop.create_future()
        try:
            loop.add_reader(fd, _wake, readable)
        except PermissionError:  # a regular file: always readable, and unknown to epoll
            return await asyncio.to_thread(_read_file, fd)
        try:
            await readable
            return os.read(fd, READ)
        except BlockingIOError:
            continue  # another reader of the same terminal was faster
        except OSError:
            return b""
        finally:
            loop.remove_reader(fd)


def _read_file(fd: int) -> bytes:
    try:
        return os.read(fd, READ)
    except OSError:  # a directory, for example
        return b""


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


class Outlet:
    """Writes to a file descriptor in a thread, so that a reader who has stopped does not stop the event loop.

    At most 256 KiB wait in it. `failed` gets the error when writing fails or, a BrokenPipeError, as soon as the last
    reader of a pipe has gone, also while nothing is written; what is written after that is dropped. Its thread does not
    hold up the end of the process.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[OSError] = self._loop.create_future()
        self._buffer = bytearray()
        self._filled = threading.Condition()
        self._writing = False
        self.unwritten = 0
        """Bytes that wait to be written."""
        self._closed = False
        self._moved = asyncio.Event()
        self._watching = stat.S_ISFIFO(os.fstat(fd).st_mode)
        if self._watching:  # a pipe's writing end becomes readable when nobody reads it any more
            self._loop.add_reader(fd, self._fail, BrokenPipeError())
        threading.Thread(target=self._run, name=f"write-{fd}", daemon=True).start()

    async def write(self, data: bytes) -> None:
        """Queue bytes; wait while too many wait."""
        self.put(data)
        await self._until(_BUFFER)

    def put(self, data: bytes) -> None:
        """Queue a few bytes, however many wait."""
        with self._filled:
            if self._closed or not data:
                return
            self._buffer += data
            self._filled.notify_all()
        self.unwritten += len(data)

    async def flush(self) -> None:
        """Wait until everything is written, or writing has failed."""
        await self._until(0)

    def settle(self, seconds: float) -> None:
        """As `flush`, for at most so many seconds, in which nothing else is done: the process is to stop."""
        with self._filled:
            self._filled.wait_for(lambda: self._closed or not (self._buffer or self._writing), seconds)

    def close(self) -> None:
        """Take nothing more. What waits is still written, unless the process ends before."""
        if self._watching:
            self._watching = False
            self._loop.remove_reader(self._fd)
        with self._filled:
            self._closed = True
            self._filled.notify_all()

    async def _until(self, most: int) -> None:
        while self.unwritten > most and not self._closed:
            self._moved.clear()
            await self._moved.wait()

    def _fail(self, error: OSError) -> None:
        if not self._closed:
            self.close()
            self._moved.set()
            self.failed.set_result(error)

    def _run(self) -> None:
        while True:
            with self._filled:
                while not self._buffer:
                    if self._closed:
                        return
                    self._filled.wait()
                data, self._buffer = self._buffer, bytearray()
                self._writing = True
            failure = _write_all(self._fd, data)
            with self._filled:
                self._writing = False
                self._filled.notify_all()
            try:
                self._loop.call_soon_threadsafe(self._written, len(data), failure)
            except RuntimeError:  # the loop is closed: the command has ended
                return

    def _written(self, size: int, failure: OSError | None) -> None:
        self.unwritten -= size
        self._moved.set()
        if failure is not None:
            self._fail(failure)


def _write_all(fd: int, data: bytearray) -> OSError | None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # somebody else has set O_NONBLOCK
            select.select([], [fd], [])
        except OSError as error:
            return error
    return None
