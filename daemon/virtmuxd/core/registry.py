"""All consoles of the daemon: how they are found, and who is told what happens to them."""

from collections.abc import Callable, Iterator
from itertools import count

from virtmux import messages
from virtmux.messages import HypervisorInfo
from virtmux.reasons import Cause, Reason, SavedError
from virtmuxd.core.console import Console
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.core.counters import Counters
from virtmuxd.core.errands import Errands
from virtmuxd.core.hypervisors import Hypervisor
from virtmuxd.core.tally import total

Watcher = Callable[[messages.Event], None]


class AlreadyServedError(Exception):
    """A hypervisor is served already, under another URI; the text names both."""


class NotFoundError(Exception):
    """No console, or more than one, answers to a name. The text is for the client; `reason` says why a hypervisor that
    may have it cannot be looked at."""

    def __init__(self, text: str, reason: Reason | None = None) -> None:
        super().__init__(text)
        self.reason = reason


class Registry:
    """The consoles by identity. A handle is never used twice in a daemon's life."""

    def __init__(self) -> None:
        self._by_key: dict[ConsoleKey, Console] = {}
        self._handles = count(1)
        self._watchers: set[Watcher] = set()
        #: Whether there are hypervisors that were not looked at since the daemon started.
        self.is_new = True
        self._unseen: set[str] = set()
        self._hypervisors: dict[str, Hypervisor] = {}
        self._owners: dict[str, Hypervisor] = {}
        self._when_surveyed: list[Callable[[], None]] = []
        self._delivery_rate = 0

    # Hypervisors, by URI.

    def serve(self, uri: str, at: int) -> Counters:
        """A hypervisor is to be served from now on, `at` (ns); gives what is counted at it."""
        return self._hypervisors.setdefault(uri, Hypervisor(uri, at)).counters

    def cease(self, uri: str) -> None:
        """A hypervisor is served no more; its consoles have gone."""
        hypervisor = self._hypervisors.pop(uri)
        if hypervisor.id is not None and self._owners.get(hypervisor.id) is hypervisor:
            del self._owners[hypervisor.id]
        self.surveyed(uri)

    def identified(self, hypervisor: str, uri: str) -> None:
        """A URI leads to this hypervisor, which is served under no other.

        Raises:
            AlreadyServedError: another has it.
        """
        here = self._hypervisors[uri]
        here.id = hypervisor
        owner = self._owners.setdefault(hypervisor, here)
        if owner is not here:
            raise AlreadyServedError(f"{uri} leads to {hypervisor}, which is served as {owner.uri}")

    def uri_of(self, hypervisor: str) -> str | None:
        """The URI under which a hypervisor is served; None where it is not known."""
        owner = self._owners.get(hypervisor)
        return owner.uri if owner is not None else None

    def counters_of(self, hypervisor: str) -> Counters:
        """What is counted at a hypervisor; nobody sees it where that is not served."""
        owner = self._owners.get(hypervisor)
        return owner.counters if owner is not None else Counters()

    def connected(self, uri: str, at: int, errands: Errands | None = None) -> None:
        """A hypervisor answers and was looked at, so what is missing is not there; see `Hypervisor.connect`."""
        self._hypervisors[uri].connect(at, errands)
        self.surveyed(uri)

    def disconnected(
        self,
        uri: str,
        at: int,
        cause: Cause,
        error: SavedError | None = None,
        *,
        detail: str | None = None,
        retry_s: float | None = None,
    ) -> None:
        """A hypervisor cannot be looked at, for this cause; see `Hypervisor.disconnect`."""
        self._hypervisors[uri].disconnect(at, cause, error, detail=detail, retry_s=retry_s)
        self.surveyed(uri)

    def hypervisors(self) -> list[HypervisorInfo]:
        """The hypervisors as `list` shows them, in the order in which they were configured."""
        return [each.info(self._consoles_of(each)) for each in self._hypervisors.values()]

    def served_at(self, uri: str | None) -> list[Hypervisor]:
        """The hypervisor of this URI, or all; a second URI of one is left out."""
        return [each for each in self._hypervisors.values() if uri in (None, each.uri) and not self._is_double(each)]

    def _is_double(self, hypervisor: Hypervisor) -> bool:
        return hypervisor.id is not None and self._owners.get(hypervisor.id) is not hypervisor

    def _consoles_of(self, hypervisor: Hypervisor) -> int:
        if hypervisor.id is None or self._is_double(hypervisor):
            return 0
        return sum(console.present and console.key.hypervisor == hypervisor.id for console in self._by_key.values())

    # What is not known yet.

    def expect(self, uri: str) -> None:
        """A hypervisor will be looked at."""
        self._unseen.add(uri)

    def surveyed(self, uri: str) -> None:
        """A hypervisor was looked at, as far as that can be done."""
        self._unseen.discard(uri)
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

    def by_hypervisor(self) -> list[tuple[Hypervisor, list[Console]]]:
        """The hypervisors in the order in which they were configured, and the consoles of each, also those that have
        vanished."""
        consoles: dict[str, list[Console]] = {uri: [] for uri in self._hypervisors}
        for console in self._by_key.values():
            owner = self._owners.get(console.key.hypervisor)
            if owner is not None:
                consoles[owner.uri].append(console)
        return [(each, consoles[each.uri]) for each in self._hypervisors.values()]

    def get(self, key: ConsoleKey) -> Console | None:
        """The console with this identity; it may be one that has vanished."""
        return self._by_key.get(key)

    def add(self, console: Console) -> None:
        """A new console."""
        self._by_key[console.key] = console
        console.sequence.limit(self._delivery_rate)

    def limit_delivery(self, rate: int) -> None:
        """Let readers have so many bytes a second of what comes of each console; 0: all."""
        self._delivery_rate = rate
        for console in self._by_key.values():
            console.sequence.limit(rate)

    def rekey(self, console: Console, former: ConsoleKey) -> None:
        """A console went to another hypervisor; one that had its key there has made room."""
        self._settle(console, former.hypervisor)
        displaced = self._by_key.get(console.key)
        if displaced is not None:
            self._settle(displaced, console.key.hypervisor)
        del self._by_key[former]
        self._by_key[console.key] = console

    def _settle(self, console: Console, hypervisor: str) -> None:
        """It leaves the hypervisor, whose sums are never to shrink."""
        counters = self.counters_of(hypervisor)
        counters.settled = total([counters.settled, console.tally.settle()])

    def running_elsewhere(self, uuid: str, hypervisor: str) -> list[Console]:
        """The consoles of a domain that runs at another hypervisor than this one."""
        return [
            console
            for console in self._by_key.values()
            if console.key.uuid == uuid and console.key.hypervisor != hypervisor and console.machine.running_id >= 0
        ]

    def remove(self, console: Console) -> None:
        """Forget a console that has vanished."""
        self._settle(console, console.key.hypervisor)
        del self._by_key[console.key]

    def find(self, domain: str, device: str | None = None, uri: str | None = None) -> Console:
        """The console that a person means: domain by name, UUID or running id, device by alias or the first.

        Of a domain that several hypervisors have the one that runs is meant: a migration may leave a definition behind.

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
        matches = [console for console in matches if console.machine.running_id >= 0] or matches
        uris = dict.fromkeys(console.naming.uri for console in matches)
        if len(uris) > 1:
            raise NotFoundError(f"domain {domain!r} is at several hypervisors, name one with --uri: {', '.join(uris)}")
        return matches[0]

    def find_all(self, domain: str | None, device: str | None = None, uri: str | None = None) -> list[Console]:
        """All consoles of the domain that is meant, or that one alone; without a domain all there are. Those that have
        vanished are found by no name."""
        if domain is None:
            return list(self)
        try:
            first = self.find(domain, device, uri)
        except NotFoundError:
            return []
        if device is not None:
            return [first]
        return [console for console in self if console.key[:2] == first.key[:2]]

    def _not_found(self, domain: str, uri: str | None) -> NotFoundError:
        """Where a hypervisor cannot be reached, nobody knows what it has: that is the better reason."""
        for each in self._hypervisors.values():
            if not each.connected and (uri == each.uri or (uri is None and not self._is_double(each))):
                why = each.why_away
                return NotFoundError(
                    f"no domain {domain!r} is known, and {each.uri} cannot be looked at: {why.text}", why
                )
        where = f" at {uri}" if uri else ""
        return NotFoundError(f"no domain {domain!r} with a console{where}; 'virtmux list' shows what there is")

    # Those who watch.

    def watch(self, watcher: Watcher) -> None:
        """Tell this watcher all that happens from now on."""
        self._watchers.add(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Tell it no more."""
        self._watchers.discard(watcher)

    def tell(self, event: messages.Event) -> None:
        """Tell all who watch, and count ends: what is told of a mark is final."""
        owner = self._owners.get(event.console.hypervisor)
        if event.event == "ended" and event.reason is not None and owner is not None:
            owner.counters.count_end(event.reason.cause)
        for watcher in tuple(self._watchers):
            watcher(event)
