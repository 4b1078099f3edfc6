"""Guests on their way to one hypervisor, by live migration from another that this daemon serves too.

STARTED/MIGRATED begins it: the guest's consoles are opened here, before a byte of their output can be lost. It has
arrived with RESUMED/MIGRATED, or SUSPENDED/PAUSED where it was paused; whether it is gone there, each console's own
state machine knows. Events and their order: docs/libvirt.md, "Migration".
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import NamedTuple

from virtmux.messages import State
from virtmuxd.core.console import Console
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.core.events import Arrived, Event, Paused, Resumed, Started, Stopped
from virtmuxd.core.holder import Destination
from virtmuxd.core.registry import Registry
from virtmuxd.hypervisor.console_supervisor import Supervised
from virtmuxd.hypervisor.inventory import DomainState


class Expected(NamedTuple):
    """A console on its way: who will hold it here, and libvirt's id here of the guest that brings it."""

    supervised: Supervised
    running_id: int


class Arrivals:
    """See the module."""

    def __init__(
        self,
        uri: str,
        registry: Registry,
        supervise: Callable[[Console], Supervised],
        settle: Callable[[ConsoleKey, Supervised], None],
    ) -> None:
        """`supervise` makes a supervisor here for a console that another one holds; `settle` is called when the console
        has come, with its key here."""
        self._uri = uri
        self._registry = registry
        self._supervise = supervise
        self._settle = settle
        self._expected: dict[ConsoleKey, Expected] = {}

    def __contains__(self, key: object) -> bool:
        """Whether the console with this key is on its way."""
        return key in self._expected

    def hear(self, hypervisor: str, uuid: str, event: Event) -> bool:
        """Take an event of a domain of this hypervisor; gives whether it is about a guest on its way, and seen to."""
        if isinstance(event, Started) and event.incoming:
            for console in self._registry.running_elsewhere(uuid, hypervisor):
                self._expect(console, console.key._replace(hypervisor=hypervisor), event)
        coming = [expected for key, expected in self._expected.items() if key.uuid == uuid]
        match event:
            case Resumed(at) | Paused(at):
                for (supervisor, _), running_id in coming:
                    supervisor.console.handle_event(Arrived(at, running_id, isinstance(event, Paused)))
            case Stopped():
                self.turn_back(uuid)
            case _:
                pass  # that it was started, or is defined now too
        return bool(coming)

    def _expect(self, console: Console, key: ConsoleKey, started: Started) -> None:
        there = self._registry.get(key)
        if there is not None and there.occupied:
            return  # somebody waits for the guest here: then this is another console
        naming = replace(console.naming, uri=self._uri)
        supervised = self._supervise(console)
        self._expected[key] = Expected(supervised, started.running_id)
        if console.machine.state is State.ATTACHED:
            supervised.supervisor.prepare()
        console.expect(Destination(key, naming, supervised.supervisor, lambda: self._arrive(key)), started.at)

    def _arrive(self, key: ConsoleKey) -> None:
        self._settle(key, self._expected.pop(key).supervised)

    def take_stock(self, states: Mapping[str, DomainState], not_seen: Collection[str]) -> None:
        """The hypervisor was out of sight for a while: these are its domains now, but for those that were not seen."""
        for key, (supervised, running_id) in tuple(self._expected.items()):
            state = states.get(key.uuid)
            here = state is not None and state.running_id == running_id
            if not here and key.uuid not in not_seen:
                self.turn_back(key.uuid)
            elif state is not None and here and not state.paused:
                supervised.supervisor.console.handle_event(Arrived(time.time_ns(), running_id))

    def turn_back(self, uuid: str | None = None) -> None:
        """This domain does not come; None: no domain does."""
        for key in [key for key in self._expected if uuid in (None, key.uuid)]:
            supervisor, task = self._expected.pop(key).supervised
            supervisor.console.turned_back(time.time_ns())
            task.cancel()
