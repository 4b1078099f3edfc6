"""Who may type at one console: everybody, or one alone, whose place is the exclusive one.

That right belongs to a token. Where the place is lost without a word the right is kept for a while, and whoever brings
the token has it again; whoever else wants it has to steal it. A role never changes without those concerned being told:
what changes is given back, in order, by whatever changes it.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

from virtmux.people import Companion, Person, Role

#: Seconds that the right of a lost place is kept.
KEPT = 10.0
#: So many others are named to one who asks.
MAX_COMPANY = 16


class Seat:
    """What a client has at a console: who it is, and its role. `by` is who has the console exclusively, for a watcher.

    To be inherited from by those who want to be told.
    """

    def __init__(self, who: Person, *, read_only: bool = False, since: int = 0) -> None:
        self.who = who
        self.since = since
        self.role = Role.READ_ONLY if read_only else Role.WRITER
        self.token: str | None = None
        self.by: Person | None = None

    def tell_role(self, by: Person | None) -> None:
        """Its role is another one now, because of `by`."""

    def tell_company(self) -> None:
        """Others have come or gone, or may do something else."""


_S = TypeVar("_S", bound=Seat)


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


class Change(NamedTuple, Generic[_S]):
    """A seat has another role than before, or is a watcher of somebody else, because of `by`."""

    seat: _S
    by: Person | None


class Roles(Generic[_S]):
    """The seats at one console, and their roles."""

    def __init__(self, new_token: Callable[[], str]) -> None:
        self._new_token = new_token
        self._seats: dict[_S, None] = {}
        #: Of the exclusive place, and whose it is; None where there is none. Its seat is None while it is lost.
        self._token: str | None = None
        self._owner: Person | None = None
        self._seat: _S | None = None
        #: Those who are named to others first; None where that is to be found out anew.
        self._first: list[_S] | None = None

    def enter(self, seat: _S, wish: Wish = NO_WISH) -> list[Change[_S]]:
        """Give somebody new a role.

        Raises:
            TakenError: it is to be exclusive, and somebody else is.
        """
        changes: list[Change[_S]] = []
        self._first = None
        if seat.role is not Role.READ_ONLY:
            if wish.exclusive and (self._owner is None or wish.steal or wish.token == self._token):
                changes = self._take(seat, again=wish.token is not None and wish.token == self._token)
            elif wish.exclusive and wish.token is None and self._owner is not None:
                raise TakenError(self._owner)
            elif self._owner is not None:
                seat.role, seat.by = Role.WATCHER, self._owner
        self._seats[seat] = None
        return changes

    def leave(self, seat: _S, *, lost: bool = False) -> list[Change[_S]]:
        """Somebody goes; where the connection was `lost`, the exclusive right stays until `expire`."""
        self._seats.pop(seat, None)
        self._first = None
        if seat is not self._seat:
            return []
        self._seat = None
        return [] if lost else self._free(seat.who)

    def expire(self, token: str) -> list[Change[_S]]:
        """Nobody has come back with this token in time."""
        return self._free(self._owner) if token == self._token and self._seat is None else []

    def permit(self, seat: _S, *, types: bool, alone: bool) -> list[Change[_S]]:
        """What somebody may do has changed: whether it may type, and whether `alone`."""
        changes: list[Change[_S]] = []
        if seat not in self._seats:
            return changes
        self._first = None
        if seat is self._seat and not (types and alone):
            seat.role, seat.token = Role.WRITER, None
            changes = [Change(seat, None), *self._free(seat.who)]
        if types and seat.role is Role.READ_ONLY:
            seat.role, seat.by = (Role.WRITER if self._owner is None else Role.WATCHER), self._owner
            return [Change(seat, seat.by)]
        if not types and seat.role is not Role.READ_ONLY:
            seat.role, seat.by = Role.READ_ONLY, None
            return [Change(seat, None), *(change for change in changes if change.seat is not seat)]
        return changes

    def owner_but(self, token: str | None) -> Person | None:
        """Who has the console alone, if it is not who brings this token."""
        return None if token is not None and token == self._token else self._owner

    def others(self, seat: _S) -> tuple[list[Companion], int]:
        """Who else is there, those who may type first, and how many more there are."""
        if self._first is None:
            order = (Role.EXCLUSIVE, Role.WRITER, Role.WATCHER, Role.READ_ONLY)
            sorted_ = (each for role in order for each in self._seats if each.role is role)
            self._first = list(islice(sorted_, MAX_COMPANY + 1))
        named = [Companion(each.who, each.role) for each in self._first if each is not seat][:MAX_COMPANY]
        return named, len(self._seats) - (seat in self._seats) - len(named)

    def __len__(self) -> int:
        return len(self._seats)

    def __contains__(self, seat: _S) -> bool:
        return seat in self._seats

    def __iter__(self) -> Iterator[_S]:
        return iter(tuple(self._seats))

    def _take(self, seat: _S, *, again: bool) -> list[Change[_S]]:
        """`again`: it had the right before, so that to those who watch nothing is new."""
        self._token, self._owner, self._seat = self._new_token(), seat.who, seat
        seat.role, seat.token, seat.by = Role.EXCLUSIVE, self._token, None
        changes = []
        for other in self._seats:
            if other.role is Role.READ_ONLY:
                continue
            if other.role.types or not again:
                changes.append(Change(other, seat.who))
            other.role, other.token, other.by = Role.WATCHER, None, seat.who
        return changes

    def _free(self, by: Person | None) -> list[Change[_S]]:
        self._first = None
        self._token = self._owner = self._seat = None
        watchers = [seat for seat in self._seats if seat.role is Role.WATCHER]
        for seat in watchers:
            seat.role, seat.by = Role.WRITER, None
        return [Change(seat, by) for seat in watchers]
