"""Those who have a place at one console: how they come and go, the role of each, what they type, and what each is told
of the others."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from virtmux.people import Companion, Person
from virtmux.reasons import Cause, Reason
from virtmuxd.core.cursor import Cursor
from virtmuxd.core.events import Demand
from virtmuxd.core.inputs import Inputs
from virtmuxd.core.later import Later
from virtmuxd.core.place import Place
from virtmuxd.core.roles import NO_WISH, Change, Roles, Wish
from virtmuxd.core.sequence import Sequence

#: Where more than so many have a place, who is there is told every so many seconds, and not at each change: that is as
#: many messages as there are places.
_CROWD, _CROWD_S = 32, 0.25


class Given(NamedTuple):
    """What readers were given, in bytes and gaps; see `Cursor`."""

    delivered: int
    gaps: int
    missed: int

    def and_to(self, cursor: Cursor) -> "Given":
        """With what the reader of `cursor` was given."""
        return Given(self.delivered + cursor.delivered, self.gaps + cursor.gaps, self.missed + cursor.missed)


class Company:
    """See the module. Its length is how many there are; iterating gives their places."""

    def __init__(
        self,
        sequence: Sequence,
        inputs: Inputs,
        new_token: Callable[[], str],
        later: Later,
        *,
        demand: Callable[[Demand], None],
        send_input: Callable[[], None],
    ) -> None:
        """They read the `sequence`, and type into the `inputs`: `send_input` is called where some wait there. `demand`
        is told whether they want the console. `new_token` makes what nobody can guess, for `Roles`."""
        self._sequence = sequence
        self._inputs = inputs
        self._later = later
        self._demand = demand
        self._send_input = send_input
        self._roles = Roles(new_token)
        #: Whether it is to be told who is there.
        self._crowd_due = False
        #: What those were given who have left.
        self._left = Given(0, 0, 0)
        #: How many places were taken away from their clients.
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._roles)

    def __iter__(self) -> Iterator[Place]:
        return iter(self._roles)

    # Coming and going.

    def enter(self, place: Place, at: int, wish: Wish = NO_WISH, *, force: bool = False) -> None:
        """Give a client its place, in the role that it may have. If the place holds the console, that is opened where
        it was not and the policy allows it; with `force` it is taken, once, from another libvirt client that has it.

        Raises:
            TakenError: as `Roles.enter`; there is no place.
        """
        self._change_roles(self._roles.enter(place, wish))
        self._set_writer(place)
        self._tell_company(place)
        if place.holds:
            self._demand(Demand(at, present=True, force=force))

    def leave(self, place: Place, at: int, *, lost: bool = False) -> None:
        """Take a client's place away; what it typed before goes its way. An exclusive one that was `lost` with its
        connection keeps its right until `expire`."""
        self._sequence.leave(place.cursor)
        self._inputs.forget(place.writer)
        self._change_roles(self._roles.leave(place, lost=lost))
        self._left = self._left.and_to(place.cursor)
        self._tell_company()
        if place.holds and not any(each.holds for each in self._roles):
            self._demand(Demand(at, present=False))

    def evict(self, place: Place, reason: Reason, at: int) -> None:
        """Take a client's place away; what it typed and is not on its way goes no further."""
        if place in self._roles:
            self.refuse(place, reason.cause)
            self.evictions += 1
            self.leave(place, at)
            place.ended(reason)

    def evict_all(self, reason: Reason, at: int) -> None:
        """Take all their places away."""
        for place in self._roles:
            self.evict(place, reason, at)

    # Roles.

    def permit(self, place: Place, *, types: bool, alone: bool) -> None:
        """What the client may do has changed: whether it may type, and whether that `alone`."""
        self._change_and_tell(self._roles.permit(place, types=types, alone=alone))

    def expire(self, token: str) -> None:
        """Who had the console exclusively, by this token, has not come back in time."""
        self._change_and_tell(self._roles.expire(token))

    def owner_but(self, token: str | None) -> Person | None:
        """As `Roles.owner_but`."""
        return self._roles.owner_but(token)

    def others(self, place: Place) -> tuple[list[Companion], int]:
        """Who else has a place, some of them by name, and how many more there are."""
        return self._roles.others(place)

    def _change_and_tell(self, changes: list[Change]) -> None:
        self._change_roles(changes)
        if changes:
            self._tell_company()

    def _change_roles(self, changes: list[Change]) -> None:
        for place, by in changes:
            self._set_writer(place)
            place.tell_role(by)

    def _set_writer(self, place: Place) -> None:
        if place.role.types:
            self._inputs.permit(place.writer)
        else:
            self.refuse(place, Cause.ACCESS_DENIED)

    def _tell_company(self, newcomer: Place | None = None) -> None:
        """All others learn that somebody has come or gone, or may do something else now."""
        if len(self._roles) > _CROWD:
            if not self._crowd_due:
                self._crowd_due = True
                self._later(_CROWD_S, self._tell_crowd)
            return
        for place in self._roles:
            if place is not newcomer:
                place.tell_company()

    def _tell_crowd(self, _at: int) -> None:
        self._crowd_due = False
        for place in self._roles:
            place.tell_company()

    # What they type.

    def type(self, place: Place, attachment: int, input_offset: int, data: bytes) -> None:
        """Take input from a client.

        Raises:
            ProtocolError: as `Inputs.offer`.
        """
        self._inputs.offer(place.writer, attachment, input_offset, data)
        self._send_input()

    def refuse(self, place: Place, cause: Cause) -> None:
        """What the client typed and is not on its way goes no further, nor what it types."""
        self._inputs.refuse(place.writer, cause)
        self._send_input()

    def refuse_those_who_left(self) -> None:
        """The same of clients that have left: nobody knows any more who they were, and whether they still may type."""
        self._inputs.refuse_those_who_left()
        self._send_input()

    def confirm(self, place: Place) -> None:
        """Find out the fate of what the client typed so far, and tell it."""
        if place.writer.account.pending:
            self._inputs.ask()
            self._send_input()

    # What they are given.

    @property
    def given(self) -> Given:
        """What they were given, and those who have left."""
        given = self._left
        for place in self._roles:
            given = given.and_to(place.cursor)
        return given

    @property
    def lag(self) -> int:
        """By how many bytes the one that is furthest behind lags."""
        return max((place.cursor.behind(self._sequence.end) for place in self._roles), default=0)
