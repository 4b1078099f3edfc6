"""Input between stdin and the guest."""

import asyncio


class Typeahead:
    """What was read from stdin and not sent yet: once that is `most` bytes, reading waits. One puts, one takes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._buffer = bytearray()
        self._closed = False
        self._moved = asyncio.Event()

    @property
    def size(self) -> int:
        """How many bytes are there."""
        return len(self._buffer)

    async def put(self, data: bytes) -> None:
        """Add input, as soon as there is room."""
        while len(self._buffer) >= self._most:
            await self._move()
        self._buffer += data
        self._moved.set()

    async def take(self) -> bytes:
        """All that is there, as soon as there is any; empty at the end."""
        while not self._buffer and not self._closed:
            await self._move()
        data = bytes(self._buffer)
        self.clear()
        return data

    def clear(self) -> None:
        """Forget what is there."""
        self._buffer.clear()
        self._moved.set()

    def close(self) -> None:
        """Nothing more comes."""
        self._closed = True
        self._moved.set()

    async def _move(self) -> None:
        self._moved.clear()
        await self._moved.wait()
