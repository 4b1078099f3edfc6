"""Who is connected to the daemon, and what each may do at a console. Pure."""

from enum import StrEnum

from msgspec import Struct

from virtmux.reasons import ConsoleId
from virtmux.wire import U32


class Role(StrEnum):
    """What a place at a console lets its client do."""

    READ_ONLY = "read-only"
    WATCHER = "watcher"
    WRITER = "writer"
    EXCLUSIVE = "exclusive"

    @property
    def types(self) -> bool:
        """Whether input is taken."""
        return self in (Role.WRITER, Role.EXCLUSIVE)


class Person(Struct, frozen=True):
    """A client, as others are told of it. `client` is its number, which no other client of the daemon's life has;
    `user` the name of its user, or the uid where that has none; `pid` is 0 where the kernel does not tell it."""

    client: U32
    user: str
    uid: U32
    pid: U32


class Companion(Struct, frozen=True):
    """Somebody else who has a place at the same console."""

    who: Person
    role: Role


class PlaceInfo(Struct, frozen=True):
    """A client's place at a console, `since` a time (RFC 3339)."""

    console: ConsoleId
    role: Role
    since: str


class ClientInfo(Struct, frozen=True, kw_only=True):
    """A client as `who` shows it. `since` is when it connected, `software` what it calls itself, `read_only` whether it
    came by the socket that is only to watch. `more`: places that are not listed, there being too many."""

    who: Person
    since: str
    software: str
    read_only: bool
    places: list[PlaceInfo]
    more: U32 = 0
