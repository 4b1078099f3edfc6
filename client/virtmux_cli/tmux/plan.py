"""What is to be done to the windows of a session, from what is known of the consoles. Pure.

    a console that was not known, or exists again   its window is opened
    a start of the guest                            so is one that a person closed
    a window whose `attach` has left                is begun again, once the guest starts, the console exists again,
                                                    or the daemon is back
    an end, another name                            the window's name

A window that a person closed is not opened for any other reason, and none is closed here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from virtmux.messages import ConsoleInfo, Event, State
from virtmux.reasons import GUEST_ENDS, Cause
from virtmux_cli.globs import fit
from virtmux_cli.tmux.naming import Key, real_name, window_name

#: Ends that say more than that the guest does not run.
_SAYING_MORE = GUEST_ENDS | {Cause.DEVICE_REMOVED}


class Pane(NamedTuple):
    """A pane in which a console is attached. `alone`: no other console's pane is in its window. `dead`: its `attach`
    has left."""

    pane: str
    window: str
    key: Key
    alone: bool
    dead: bool


class Open(NamedTuple):
    """A window for a console, which has none."""

    key: Key
    name: str
    real_name: str


class Restart(NamedTuple):
    """Attach again in a pane, which from now on is for `key`."""

    pane: str
    key: Key


class Retag(NamedTuple):
    """A pane's console is another from now on, with all that goes on in it."""

    pane: str
    key: Key


class Rename(NamedTuple):
    """A window's name."""

    window: str
    name: str
    real_name: str


Action = Open | Restart | Retag | Rename
"""What is done to a window."""


@dataclass
class _Known:
    """A console. `due`: it is to have a window, also where one was closed. `revived`: if its `attach` has left, it is
    worth another."""

    domain: str
    incarnation: int
    cause: Cause | None
    present: bool = True
    due: bool = True
    revived: bool = True


class Plan:
    """What is known of the consoles of some hosts, and what their windows were called last."""

    def __init__(self) -> None:
        self._known: dict[Key, _Known] = {}
        self._named: dict[str, str] = {}
        self._moved: dict[Key, Key] = {}

    def listed(self, host: str | None, infos: Iterable[ConsoleInfo]) -> None:
        """All consoles of a host, whose daemon was connected to just now."""
        there = {Key.of(host, info.id): info for info in infos}
        for key, known in self._known.items():
            if key.host == host and key not in there:
                _vanished(known)
        for key, info in there.items():
            cause = _cause(info)
            if key not in self._known:
                self._known[key] = _Known(info.id.domain, info.id.incarnation, cause)
                continue
            known = self._known[key]
            known.due |= not known.present or info.id.incarnation > known.incarnation
            known.present = known.revived = True
            known.domain, known.incarnation, known.cause = info.id.domain, info.id.incarnation, cause

    def happened(self, host: str | None, event: Event) -> bool:
        """An event of a host; gives whether anything may be to be done."""
        key, console = Key.of(host, event.console), event.console
        known = self._known.get(key)
        if known is None and event.event == "vanished":
            return False
        before = None if known is None else replace(known)
        if known is None:
            known = self._known[key] = _Known(console.domain, console.incarnation, None)
        known.domain = console.domain
        if console.incarnation > known.incarnation:
            known.incarnation, known.due, known.revived = console.incarnation, True, True
        self._take(key, known, event)
        return known != before or bool(self._moved)

    def _take(self, key: Key, known: _Known, event: Event) -> None:
        match event.event, event.reason:
            case "appeared", _:
                if not known.present:
                    known.present = known.due = known.revived = True
                    known.cause = None
            case "attached", _:
                known.cause = None
            case "ended", reason if reason is not None:
                known.cause = reason.cause
                if reason.moved_to is not None:
                    self._move(key, key._replace(uri=reason.moved_to))
            case "waiting", reason if reason is not None:
                known.cause = _waiting(known.cause, reason.cause)
            case "vanished", _:
                _vanished(known)
            case _:
                pass

    def _move(self, key: Key, to: Key) -> None:
        self._known[to] = self._known.pop(key)
        self._moved[key] = to

    def actions(self, panes: Sequence[Pane], patterns: Sequence[str]) -> list[Action]:
        """What brings the windows into step. It is taken as done."""
        actions: list[Action] = []
        by_key = {pane.key: pane for pane in panes}
        for key, to in self._moved.items():
            if (pane := by_key.get(key)) is not None and to not in by_key:
                actions.append(Retag(pane.pane, to))
                by_key[to] = by_key.pop(key)._replace(key=to)
        self._moved.clear()
        for key, known in sorted(self._known.items(), key=lambda item: (item[0].host or "", item[1].domain, item[0])):
            pane = by_key.get(key)
            if pane is None and known.due and known.present and fit(patterns, known.domain, key.device, key.uuid):
                pane = self._heir(key, known, by_key)
                if pane is None:
                    actions.append(Open(key, self._name(key, known), real_name(key, known.domain)))
                    known.due = known.revived = False
            if pane is not None:
                actions += self._keep(pane, key, known)
        return actions

    def _heir(self, key: Key, known: _Known, by_key: dict[Key, Pane]) -> Pane | None:
        """The pane of a console of the same name that is gone: a guest that is made anew each day needs no new window
        each day."""
        for other, pane in by_key.items():
            was = self._known.get(other)
            same = (other.host, other.uri, other.device) == (key.host, key.uri, key.device)
            if pane.dead and same and was is not None and not was.present and was.domain == known.domain:
                del by_key[other]
                del self._known[other]
                return pane
        return None

    def _keep(self, pane: Pane, key: Key, known: _Known) -> list[Action]:
        actions: list[Action] = []
        if pane.dead and known.present and (known.due or known.revived):
            actions.append(Restart(pane.pane, key))
        known.due = known.revived = False
        name = self._name(key, known)
        if pane.alone and self._named.get(pane.window) != name:
            self._named[pane.window] = name
            actions.append(Rename(pane.window, name, real_name(key, known.domain)))
        return actions

    @staticmethod
    def _name(key: Key, known: _Known) -> str:
        return window_name(key, known.domain, known.cause)


def _vanished(known: _Known) -> None:
    known.present = False
    if known.cause in (None, Cause.GUEST_NOT_RUNNING):
        known.cause = Cause.GUEST_UNDEFINED


def _waiting(told: Cause | None, now: Cause) -> Cause:
    """What a console waits for, unless its end said that already, and better."""
    if now is Cause.GUEST_NOT_RUNNING and told is not None and told in _SAYING_MORE:
        return told
    return now


def _cause(info: ConsoleInfo) -> Cause | None:
    end = info.last_end.cause if info.last_end is not None else None
    if not info.running:
        return _waiting(end, Cause.GUEST_NOT_RUNNING)
    return end if info.state is State.WAITING else None
