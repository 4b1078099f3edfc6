"""The few connections to a remote hypervisor, shared by its consoles and look-ups: there a connection is dear.

Whoever needs one takes the link that has the fewest users. Links are opened as they are needed and closed when nobody
uses them any more, but for one, which saves the next look-up its opening. One that is lost or cut is taken by nobody
any more, and goes with its last user.
"""

import asyncio
from collections.abc import Callable

from virtmux.reasons import SavedError
from virtmuxd.hypervisor.errors import CallFailed, DeadlineMissed
from virtmuxd.hypervisor.link import Link


class _Seat:
    """A link of the pool and the number of its users; `failure` says why it could not be opened."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.users = 0
        self.settled = asyncio.Event()
        self.failure: SavedError | str | None = None

    @property
    def good(self) -> bool:
        """Whether it may be taken: open, or about to be."""
        return self.link.usable or not self.settled.is_set()


class Pool:
    """See the module: at most `size` links that can be taken, each made by `make`."""

    def __init__(self, size: int, make: Callable[[], Link]) -> None:
        self._size = size
        self._make = make
        self._seats: list[_Seat] = []
        self._over = False

    async def take(self) -> Link:
        """A link that is open; `give_back` ends the use of it.

        Raises:
            CallFailed, DeadlineMissed: it could not be opened; all who waited for the same opening are told so.
        """
        while True:
            seat = self._choose()
            seat.users += 1
            try:
                if seat not in self._seats:
                    self._seats.append(seat)
                    await self._open(seat)
                else:
                    await seat.settled.wait()
            except BaseException:
                await self._leave(seat)
                raise
            if seat.link.libvirt is not None:
                return seat.link
            await self._leave(seat)
            if isinstance(seat.failure, SavedError):
                raise CallFailed(seat.failure)
            if seat.failure is not None:
                raise DeadlineMissed(seat.failure)
            # Who was to open it was cancelled.

    def _choose(self) -> _Seat:
        good = [seat for seat in self._seats if seat.good]
        best = min(good, key=lambda seat: seat.users, default=None)
        if best is None or (best.users > 0 and len(good) < self._size):
            return _Seat(self._make())
        return best

    async def _open(self, seat: _Seat) -> None:
        try:
            await seat.link.open()
        except CallFailed as failed:
            seat.failure = failed.error
        except DeadlineMissed as missed:
            seat.failure = missed.api
        finally:
            seat.settled.set()

    async def give_back(self, link: Link) -> None:
        """The link is not used any more by one of its users."""
        await self._leave(next(seat for seat in self._seats if seat.link is link))

    async def _leave(self, seat: _Seat) -> None:
        seat.users -= 1
        await self._close_unused()

    async def _close_unused(self) -> None:
        """Close the links that nobody uses, but for one."""
        unused = [seat for seat in self._seats if seat.users == 0]
        spare = next((seat for seat in unused if seat.good and not self._over), None)
        for seat in unused:
            if seat is not spare:
                self._seats.remove(seat)
        for seat in unused:
            if seat is not spare:
                await seat.link.close()

    async def close(self) -> None:
        """Nobody needs it any more: keep no link without users from now on."""
        self._over = True
        await self._close_unused()
