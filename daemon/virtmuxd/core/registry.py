"""All consoles of the daemon: how they are found, and who is told what happens to them."""

from collections.abc import Callable, Iterator
from itertools import count

from virtmux import messages
from virtmux.reasons import Cause, SavedError, sentence
from virtmuxd.core.console import Console, ConsoleKey

Watcher = Callable[[messages.Event], None]


class AlreadyServedError(Exception):
    """A hypervisor is served already, under another URI; the text names both."""


class NotFoundError(Exception):
    """No console, or more than one, answers to a name. `cause` and the text are for the client."""

    def __init__(self, text: str, cause: Cause = Cause.CONSOLE_MISSING) -> None:
        super().__init__(text)
        self.cause = cause


class Registry:
    """The consoles by identity. A handle is never used twice in a daemon's life."""

    def __init__(self) -> None:
        self._by_key: dict[ConsoleKey, Console] = {}
        self._handles = count(1)
        self._watchers: set[Watcher] = set()
        #: Whether there are hypervisors that were not looked at since the daemon started.
        self.is_new = True
        self._unseen: set[str] = set()
        self._troubles: dict[str, tuple[Cause, str]] = {}
        self._served: dict[str, str] = {}
        self._when_surveyed: list[Callable[[], None]] = []

    # What is not known yet.

    def expect(self, uri: str) -> None:
        """A hypervisor will be looked at."""
        self._unseen.add(uri)

    def claim(self, hypervisor: str, uri: str) -> None:
        """Serve a hypervisor under this URI and no other.

        Raises:
            AlreadyServedError: another has it.
        """
        owner = self._served.setdefault(hypervisor, uri)
        if owner != uri:
            raise AlreadyServedError(f"{uri} leads to {hypervisor}, which is served as {owner}")

    def surveyed(self, uri: str, cause: Cause | None = None, error: SavedError | None = None) -> None:
        """A hypervisor was looked at, so what is missing is not there; or it could not be, for this cause."""
        self._unseen.discard(uri)
        self._troubles.pop(uri, None)
        if cause is not None:
            self._troubles[uri] = (cause, error.message if error else sentence(cause))
        if not self._unseen:
            self.is_new = False
            answers, self._when_surveyed = self._when_surveyed, []
            for answer in answers:
                answer()

    def when_surveyed(self, answer: Callable[[], None]) -> None:
        """Call once every hypervisor has been looked at: now, or later."""
        if self._unseen:
            self._when_surveyed.append(answer)
        else:
            answer()

    # Consoles.

    def next_handle(self) -> int:
        """A handle for a new console."""
        return next(self._handles)

    def __iter__(self) -> Iterator[Console]:
        """The consoles that exist, by hypervisor, domain and order within the domain."""
        present = (console for console in self._by_key.values() if console.present)
        return iter(
            sorted(present, key=lambda console: (console.naming.uri, console.naming.domain, console.naming.index))
        )

    def all(self) -> list[Console]:
        """Every console, also those that have vanished."""
        return list(self._by_key.values())

    def get(self, key: ConsoleKey) -> Console | None:
        """The console with this identity; it may be one that has vanished."""
        return self._by_key.get(key)

    def add(self, console: Console) -> None:
        """A new console."""
        self._by_key[console.key] = console

    def remove(self, console: Console) -> None:
        """Forget a console that has vanished."""
        del self._by_key[console.key]

    def find(self, domain: str, device: str | None = None, uri: str | None = None) -> Console:
        """The console that a person means: domain by name, UUID or running id, device by alias or the first.

        Raises:
            NotFoundError: there is none, or more than one; the text says what there is.
        """
        here = [console for console in self if uri in (None, console.naming.uri)]
        matches = (
            [console for console in here if console.naming.domain == domain]
            or [console for console in here if console.key.uuid == domain.lower()]
            or [console for console in here if domain == str(console.machine.running_id) != "-1"]
        )
        if not matches:
            raise self._not_found(domain, uri)
        if device is not None:
            devices = ", ".join(console.key.device for console in matches)
            matches = [console for console in matches if console.key.device == device]
            if not matches:
                raise NotFoundError(f"domain {domain!r} has no console {device!r}, only {devices}")
        uris = dict.fromkeys(console.naming.uri for console in matches)
        if len(uris) > 1:
            raise NotFoundError(f"domain {domain!r} is at several hypervisors, name one with --uri: {', '.join(uris)}")
        return matches[0]

    def _not_found(self, domain: str, uri: str | None) -> NotFoundError:
        """Where a hypervisor cannot be reached, nobody knows what it has: that is the better reason."""
        for each, (cause, why) in self._troubles.items():
            if uri in (None, each):
                return NotFoundError(f"no domain {domain!r} is known, and {each} cannot be looked at: {why}", cause)
        where = f" at {uri}" if uri else ""
        return NotFoundError(f"no domain {domain!r} with a console{where}; 'virtmux list' shows what there is")

    def hypervisors(self) -> list[messages.HypervisorInfo]:
        """The hypervisors as `list` shows them."""
        return []

    # Those who watch.

    def watch(self, watcher: Watcher) -> None:
        """Tell this watcher all that happens from now on."""
        self._watchers.add(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Tell it no more."""
        self._watchers.discard(watcher)

    def tell(self, event: messages.Event) -> None:
        """Tell all who watch."""
        for watcher in tuple(self._watchers):
            watcher(event)
