"""Which start of a domain is meant: every start is a new incarnation, and evidence counts only for its own.

libvirt's STOPPED events carry no running id, so they are understood by their order among the STARTED ones. An opening
is not in that order: it may be ahead of the events, or behind them. What it opened is known by the running id, which
libvirt never uses twice while it runs.
"""

from dataclasses import replace

from virtmux.reasons import LibvirtEvent
from virtmuxd.core.events import (
    Event,
    OpenFailed,
    Paused,
    Resumed,
    ShuttingDown,
    Started,
    Stopped,
    Undefined,
    Unplugged,
    Up,
)
from virtmuxd.core.evidence import Evidence, is_another_end


class Incarnations:
    """The incarnations of one domain, as far as they still matter. `newest` is the latest that is known of."""

    def __init__(self, known: Evidence) -> None:
        self.newest = known
        self._told = known  # the one that the events have come to
        self._openable: dict[int, Evidence] | None = None  # by running id, while an opening is under way

    def learn(self, event: Event) -> bool:
        """Take what the event says about the domain; gives whether it is of a start that was not known."""
        match event:
            case Up():
                self.found(event.running_id, event.stopped, paused=event.paused)
            case Started():
                return self.started(event.running_id, event.at)
            case Stopped():
                self.stopped(event.event)
            case ShuttingDown():
                self._told.shutting_down = event.event
            case Unplugged():
                self.unplugged(event.event)
            case Paused():
                self._told.paused = True
            case Resumed():
                self._told.paused, self._told.shutting_down = False, None  # a reboot may begin as a power-off
            case OpenFailed():
                self.opening_failed()
            case Undefined() if event.gone:
                self.found(-1, None)
            case _:
                pass  # it says nothing about the domain
        return False

    def found(self, running_id: int, stopped: LibvirtEvent | None, *, paused: bool = False) -> None:
        """How the domain stands after a time without events: running, or (-1) stopped in this way.

        libvirt may have been restarted, so the next start may get the running id of one that stopped; only an opening
        that is behind still means that one by it.
        """
        if running_id < 0:
            known = self.newest.stopped
            if self.newest.running:
                self.newest.stopped = stopped or LibvirtEvent("SHUTOFF", None)
            elif known is not None and stopped is not None and is_another_end(known, stopped):
                self._count(running_id).stopped = stopped  # it was started, and has ended, unseen
            self.newest = replace(self.newest, running_id=running_id)
        elif running_id != self.newest.running_id or self.newest.stopped is not None:
            self._count(running_id)
        else:
            self.newest.device_removed = None
        self.newest.paused = paused
        self._told = self.newest

    def started(self, running_id: int, at: int) -> bool:
        """A STARTED event; gives whether it is of an incarnation that was not known.

        An opening may be ahead of it: then the newest incarnation is known already, what stopped before was not it, and
        those before it were over before anybody could see them.
        """
        if running_id == self.newest.running_id:
            self.newest.stopped = None
            self.newest.paused = False  # it woke up
            self._told = self.newest
        elif self._told is not self.newest:
            self._told = Evidence(self.newest.number, running_id)
        else:
            self._told = self._count(running_id, at)
            return True
        return False

    def stopped(self, event: LibvirtEvent) -> None:
        """A STOPPED event; the first of an incarnation counts."""
        self._told.stopped = self._told.stopped or event

    def unplugged(self, event: LibvirtEvent) -> None:
        """The console's device was removed from the running domain."""
        self._told.device_removed = self._told.device_removed or event

    def moved(self, running_id: int, *, paused: bool) -> None:
        """The newest goes on at another hypervisor, under another id: it is the same start of the domain."""
        self.newest = self._told = Evidence(self.newest.number, running_id, self.newest.started_at, paused=paused)

    def opening(self) -> None:
        """An opening begins: it can mean the newest incarnation, or any that comes while it is under way."""
        self._openable = {self.newest.running_id: self.newest}

    def opened(self, running_id: int) -> Evidence:
        """What was opened: the newest, one ahead of the events, or one that they say is over."""
        openable, self._openable = self._openable or {self.newest.running_id: self.newest}, None
        opened = openable.get(running_id) or self._count(running_id)
        opened.device_removed = None
        return opened

    def opening_failed(self) -> None:
        """The opening is over."""
        self._openable = None

    def _count(self, running_id: int, at: int | None = None) -> Evidence:
        """One more; `at` where its start was seen."""
        self.newest = Evidence(self.newest.number + 1, running_id, at)
        if self._openable is not None:
            self._openable[running_id] = self.newest
        return self.newest
