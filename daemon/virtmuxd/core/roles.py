"""Who may type at one console: everybody, or one alone, whose place is the exclusive one.

That right belongs to a token. Where the place is lost without a word the right is kept for a while, and whoever brings
the token has it again; whoever else wants it has to steal it. A role never changes without those concerned being told:
what changes is given back, in order, by whatever changes it.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from virtmux.people import Companion, Person, Role
from virtmuxd.core.place import Place

#: Seconds that the right of a lost place is kept.
KEPT = 10.0
#: So many others are named to one who asks.
MAX_COMPANY = 16


class Wish(NamedTuple):
    """What of an `attach` concerns its role."""

    exclusive: bool = False
    steal: bool = False
    token: str | None = None


NO_WISH = Wish()


class TakenError(Exception):
    """The console is somebody else's alone: `by`."""

    def __init__(self, by: Person) -> None:
        super().__init__(by.user)
        self.by = by


class Change(NamedTuple):
    """A place has another role than before, or is a watcher of somebody else, because of `by`."""

    place: Place
    by: Person | None


class Roles:
    """The places at one console, and their roles."""

    def __init__(self, new_token: Callable[[], str]) -> None:
        self._new_token = new_token
        self._places: dict[Place, None] = {}
        #: Token and owner of the exclusive place, None where there is none; the place is None also while it is lost.
        self._token: str | None = None
        self._owner: Person | None = None
        self._exclusive: Place | None = None
        #: Those who are named to others first; None where that is to be found out anew.
        self._first: list[Place] | None = None

    def enter(self, place: Place, wish: Wish = NO_WISH) -> list[Change]:
        """Give somebody new a role.

        Raises:
            TakenError: it is to be exclusive, and somebody else is.
        """
        changes: list[Change] = []
        self._first = None
        if place.role is not Role.READ_ONLY:
            if wish.exclusive and (self._owner is None or wish.steal or wish.token == self._token):
                changes = self._take(place, again=wish.token is not None and wish.token == self._token)
            elif wish.exclusive and wish.token is None and self._owner is not None:
                raise TakenError(self._owner)
            elif self._owner is not None:
                place.role, place.by = Role.WATCHER, self._owner
        self._places[place] = None
        return changes

    def leave(self, place: Place, *, lost: bool = False) -> list[Change]:
        """Somebody goes; where the connection was `lost`, the exclusive right stays until `expire`."""
        self._places.pop(place, None)
        self._first = None
        if place is not self._exclusive:
            return []
        self._exclusive = None
        return [] if lost else self._free(place.who)

    def expire(self, token: str) -> list[Change]:
        """Nobody has come back with this token in time."""
        return self._free(self._owner) if token == self._token and self._exclusive is None else []

    def permit(self, place: Place, *, types: bool, alone: bool) -> list[Change]:
        """What somebody may do has changed: whether it may type, and whether `alone`."""
        changes: list[Change] = []
        if place not in self._places:
            return changes
        self._first = None
        if place is self._exclusive and not (types and alone):
            place.role, place.token = Role.WRITER, None
            changes = [Change(place, None), *self._free(place.who)]
        if types and place.role is Role.READ_ONLY:
            place.role, place.by = (Role.WRITER if self._owner is None else Role.WATCHER), self._owner
            return [Change(place, place.by)]
        if not types and place.role is not Role.READ_ONLY:
            place.role, place.by = Role.READ_ONLY, None
            return [Change(place, None), *(change for change in changes if change.place is not place)]
        return changes

    def owner_but(self, token: str | None) -> Person | None:
        """Who has the console alone, if it is not who brings this token."""
        return None if token is not None and token == self._token else self._owner

    def others(self, place: Place) -> tuple[list[Companion], int]:
        """Who else is there, those who may type first, and how many more there are."""
        if self._first is None:
            order = (Role.EXCLUSIVE, Role.WRITER, Role.WATCHER, Role.READ_ONLY)
            sorted_ = (each for role in order for each in self._places if each.role is role)
            self._first = list(islice(sorted_, MAX_COMPANY + 1))
        named = [Companion(each.who, each.role) for each in self._first if each is not place][:MAX_COMPANY]
        return named, len(self._places) - (place in self._places) - len(named)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, place: Place) -> bool:
        return place in self._places

    def __iter__(self) -> Iterator[Place]:
        return iter(tuple(self._places))

    def _take(self, place: Place, *, again: bool) -> list[Change]:
        """`again`: it had the right before, so that to those who watch nothing is new."""
        self._token, self._owner, self._exclusive = self._new_token(), place.who, place
        place.role, place.token, place.by = Role.EXCLUSIVE, self._token, None
        changes = []
        for other in self._places:
            if other.role is Role.READ_ONLY:
                continue
            if other.role.types or not again:
                changes.append(Change(other, place.who))
            other.role, other.token, other.by = Role.WATCHER, None, place.who
        return changes

    def _free(self, by: Person | None) -> list[Change]:
        self._first = None
        self._token = self._owner = self._exclusive = None
        watchers = [place for place in self._places if place.role is Role.WATCHER]
        for place in watchers:
            place.role, place.by = Role.WRITER, None
        return [Change(place, by) for place in watchers]
