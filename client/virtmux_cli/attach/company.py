"""How a person is told who else is at a console, and who may type there. Pure, as `text`."""

from typing import NamedTuple

from virtmux.messages import Company
from virtmux.people import Companion, Person, Role
from virtmux.sanitize import printable

#: So many are named in a line.
_NAMED = 5


class RoleNews(NamedTuple):
    """What this place may do, and `before`, None where it is new; `by`: who has the console alone now, or had."""

    role: Role
    by: Person | None
    before: Role | None


def person(who: Person | None) -> str:
    """A client in a sentence for another."""
    if who is None:
        return "somebody"
    return printable(f"{who.user} (pid {who.pid})" if who.pid else who.user)


def role_text(news: RoleNews) -> str:
    """What a place may do, and through whom."""
    match news:
        case RoleNews(Role.EXCLUSIVE):
            return "you have the console alone: nobody else may type"
        case RoleNews(Role.WATCHER, by, Role.EXCLUSIVE):
            return f"{person(by)} took the console over and has it alone; you may only watch"
        case RoleNews(Role.WATCHER, by, before):
            return f"{person(by)} has the console alone{' now' if before else ''}; you may only watch"
        case RoleNews(Role.WRITER, by, Role.WATCHER) if by is not None:
            return f"{person(by)} does not have the console alone any more; you may type again"
        case RoleNews(Role.WRITER, _, before):
            return "you do not have the console alone any more" if before is Role.EXCLUSIVE else "you may type"
        case _:
            return "you may only watch"


def not_sent_text(by: Person | None) -> str:
    """What becomes of what is typed at a place that may not type now."""
    if by is None:
        return "this place may only watch: what is typed here is not sent"
    return f"{person(by)} has the console alone: what is typed here is not sent; --exclusive --steal takes it over"


def waits_text(by: Person | None) -> str:
    """The same of what is piped, where that waits."""
    return f"{person(by)} has the console alone: the input waits until that is over"


class Others:
    """Who else is there as far as that was told. A client is the same one again by its process, where that is known:
    its number is another in another life of the daemon. `own` is the uid and pid of this one, which is nobody else."""

    def __init__(self, own: tuple[int, int] | None = None) -> None:
        self._own = own
        self._told: dict[tuple[int, int], Companion] = {}
        self._begun = False
        self._more = 0
        self._alone: Person | None = None

    def alone(self, who: Person | None) -> None:
        """Who has the console exclusively is told by other means."""
        self._alone = who

    def news(self, company: Company) -> str | None:
        """What there is to say now, in a line; None where it is nothing new."""
        now = {_key(other.who): other for other in company.others if _key(other.who) != self._own}
        came = [other for key, other in now.items() if key not in self._told]
        left = [other for key, other in self._told.items() if key not in now] if not company.more else []
        alone = next((other.who for other in company.others if other.role is Role.EXCLUSIVE), None)
        how = "attached too" if self._begun else "is attached too"
        told = [other for other in came if other.role is not Role.EXCLUSIVE or other.who != self._alone]
        parts = [_listed([f"{person(other.who)} {how} and {_may(other)}" for other in told])]
        parts += [_listed([f"{person(other.who)} left" for other in left])]
        if alone != self._alone and alone is not None and all(other.who != alone for other in came):
            parts += [f"{person(alone)} has the console alone now"]
        if company.more and company.more != self._more:
            parts += [f"{company.more} more are attached"]
        self._begun, self._told, self._more, self._alone = True, now, company.more, alone
        return "; ".join(filter(None, parts)) or None


def _may(other: Companion) -> str:
    match other.role:
        case Role.EXCLUSIVE:
            return "has the console alone"
        case Role.WRITER:
            return "may type"
        case Role.WATCHER | Role.READ_ONLY:
            return "only watches"


def _listed(parts: list[str]) -> str:
    more = len(parts) - _NAMED
    return "; ".join(parts[:_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _key(who: Person) -> tuple[int, int]:
    return (who.uid, who.pid) if who.pid else (-1, who.client)
