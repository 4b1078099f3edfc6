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


class _SharedLink:
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
        self._links: list[_SharedLink] = []
        self._over = False

    async def take(self) -> Link:
        """A link that is open; `give_back` ends the use of it.

        Raises:
            CallFailed, DeadlineMissed: it could not be opened; all who waited for the same opening are told so.
        """
        while True:
            shared = self._choose()
            shared.users += 1
            try:
                if shared not in self._links:
                    self._links.append(shared)
                    await self._open(shared)
                else:
                    await shared.settled.wait()
            except BaseException:
                await self._leave(shared)
                raise
            if shared.link.libvirt is not None:
                return shared.link
            await self._leave(shared)
            if isinstance(shared.failure, SavedError):
                raise CallFailed(shared.failure)
            if shared.failure is not None:
                raise DeadlineMissed(shared.failure)
            # Who was to open it was cancelled.

    def _choose(self) -> _SharedLink:
        good = [shared for shared in self._links if shared.good]
        best = min(good, key=lambda shared: shared.users, default=None)
        if best is None or (best.users > 0 and len(good) < self._size):
            return _SharedLink(self._make())
        return best

    async def _open(self, shared: _SharedLink) -> None:
        try:
            await shared.link.open()
        except CallFailed as failed:
            shared.failure = failed.error
        except DeadlineMissed as missed:
            shared.failure = missed.api
        finally:
            shared.settled.set()

    async def give_back(self, link: Link) -> None:
        """The link is not used any more by one of its users."""
        await self._leave(next(shared for shared in self._links if shared.link is link))

    async def _leave(self, shared: _SharedLink) -> None:
        shared.users -= 1
        await self._close_unused()

    async def _close_unused(self) -> None:
        """Close the links that nobody uses, but for one."""
        unused = [shared for shared in self._links if shared.users == 0]
        spare = next((shared for shared in unused if shared.good and not self._over), None)
        for shared in unused:
            if shared is not spare:
                self._links.remove(shared)
        for shared in unused:
            if shared is not spare:
                await shared.link.close()

    async def close(self) -> None:
        """Nobody needs it any more: keep no link without users from now on."""
        self._over = True
        await self._close_unused()
