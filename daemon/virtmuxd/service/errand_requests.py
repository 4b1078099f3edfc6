"""The errands of one client, what it asks of domains beside their consoles: that something be done, and how libvirt
sees one."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from virtmux.domains import DomainInfo
from virtmux.messages import Domain, Domains, Done, Guest, Refused
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, Phase, Reason
from virtmuxd.core.access import Right
from virtmuxd.core.errands import Errands, NotDone, meant
from virtmuxd.core.hypervisors import Hypervisor
from virtmuxd.core.registry import NotFoundError, Registry
from virtmuxd.service.answers import Answer, refused
from virtmuxd.service.audit import Audit
from virtmuxd.service.contained import Boundary, Contained, contained
from virtmuxd.service.rights import Rights
from virtmuxd.service.survey import Survey

#: So many requests of a client may wait for libvirt at once.
MOST = 8

#: Called with what there is at all hypervisors that could be asked, and why one could not.
_Then = Callable[[list[DomainInfo], Reason | None], None]


class ErrandRequests(Contained):
    """The requests of one client, answered as libvirt answers. `client` is whose failure boundary this is in."""

    def __init__(
        self, client: Boundary, registry: Registry, answer: Answer, rights: Rights, *, survey: Survey, audit: Audit
    ) -> None:
        super().__init__(client)
        self._registry = registry
        self._survey = survey
        self._tell = answer
        self._rights = rights
        self._audit = audit
        self._under_way = 0

    def carry_out(self, request: Guest | Domains) -> None:
        """Begin to carry a request out."""
        if isinstance(request, Guest) and (request.action == "key") != bool(request.keys):
            self._tell(refused(request.id, Cause.PROTOCOL_ERROR, "keys go with the action `key`, and it with them"))
        elif self._under_way >= MOST:
            text = f"{MOST} requests of this client wait for libvirt, the most that may"
            self._tell(refused(request.id, Cause.PROTOCOL_ERROR, text))
        else:
            self._under_way += 1
            self._survey.once_made(partial(self._begin, request))

    @contained
    def _begin(self, request: Guest | Domains) -> None:
        if isinstance(request, Domains):
            self._search(request, partial(self._tell_domains, request))
            return
        try:
            console = self._registry.find(request.domain, None, request.uri)
        except NotFoundError:  # it may have no console
            self._search(request, partial(self._act_on_one, request))
        else:
            self._act(request, console.key.uuid, console.naming.domain, console.naming.uri)

    def _search(self, request: Guest | Domains, then: _Then) -> None:
        _Search(self._registry.served_at(request.uri), request.domain, then).begin()

    @contained
    def _tell_domains(self, request: Domains, found: list[DomainInfo], why_not: Reason | None) -> None:
        seen = [info for info in found if self._sees(info)]
        if seen:
            self._answer(*(Domain(request.id, info) for info in seen), Done(request.id))
        else:
            self._refuse(request, why_not or _none(request))

    @contained
    def _act_on_one(self, request: Guest, found: list[DomainInfo], why_not: Reason | None) -> None:
        served = [info for info in found if info.served]
        match [info for info in served if info.running] or served:
            case []:
                self._refuse(request, why_not or _none(request))
            case [one]:
                self._act(request, one.uuid, one.domain, one.uri)
            case several:
                uris = ", ".join(info.uri for info in several)
                text = f"domain {request.domain!r} is at several hypervisors, name one with --uri: {uris}"
                self._refuse(request, reason_now(Cause.CONSOLE_MISSING, text=text))

    def _refuse(self, request: Guest | Domains, reason: Reason) -> None:
        """For this reason; but who may not do it learns nothing of what there is."""
        needed = _right(request)
        may = needed in self._rights.on(request.domain)
        self._answer(Refused(request.id, reason if may else self._rights.denied(needed, request.domain, {})))

    def _sees(self, info: DomainInfo) -> bool:
        """Whether the client may know of the domain: by that itself, or by one of its devices."""
        rights = [self._rights.on(info.domain)]
        rights += [self._rights.at(_Device(info.domain, each.device)) for each in info.devices]
        return any(Right.WATCH in each for each in rights)

    def _act(self, request: Guest, uuid: str, domain: str, uri: str) -> None:
        guest = {"uri": uri, "domain": domain, "uuid": uuid}
        right = _right(request)
        if right not in self._rights.on(domain):
            self._answer(Refused(request.id, self._rights.denied(right, request.domain, guest)))
            return
        hypervisor = next(iter(self._registry.served_at(uri)), None)
        if hypervisor is None:  # it was served as its domain was looked for
            self._answer(refused(request.id, Cause.CONSOLE_MISSING, f"{uri} is not served any more"))
        elif hypervisor.errands is None:
            self._answer(Refused(request.id, _away(hypervisor)))
        else:
            hypervisor.errands.act(uuid, request, partial(self._acted, request, guest))

    def _acted(self, request: Guest, guest: dict[str, str], not_done: NotDone | None) -> None:
        why_not = None if not_done is None else _reason(not_done, guest["domain"])
        self._audit.acted(request.action, guest, why_not)
        self._tell_acted(request, why_not)

    @contained
    def _tell_acted(self, request: Guest, why_not: Reason | None) -> None:
        self._answer(Done(request.id) if why_not is None else Refused(request.id, why_not))

    def _answer(self, *said: Domain | Done | Refused) -> None:
        """The request is not under way any more."""
        self._under_way -= 1
        self._tell(*said)


def _right(request: Guest | Domains) -> Right:
    if isinstance(request, Domains):
        return Right.WATCH
    return Right.KEY if request.action in ("key", "nmi") else Right.START


class _Device(NamedTuple):
    """The names of a device that may be a console."""

    domain: str
    device: str


def _none(request: Guest | Domains) -> Reason:
    where = f" at {request.uri}" if request.uri else ""
    return reason_now(Cause.CONSOLE_MISSING, text=f"no domain {request.domain!r}{where} is known")


class _Search:
    """Looks for a domain at several hypervisors, and calls `then` once all have said whether they have it."""

    def __init__(self, hypervisors: list[Hypervisor], domain: str, then: _Then) -> None:
        self._hypervisors = hypervisors
        self._domain = domain
        self._then = then
        self._left = 0
        self._found: list[DomainInfo] = []
        self._why_not: Reason | None = None

    def begin(self) -> None:
        """Ask."""
        asked: list[Errands] = []
        for hypervisor in self._hypervisors:
            if hypervisor.errands is not None:
                asked.append(hypervisor.errands)
            else:
                self._why_not = self._why_not or _away(hypervisor)
        self._left = len(asked)
        for errands in asked:
            errands.look(self._domain, self._seen)
        if not asked:
            self._then([], self._why_not)

    def _seen(self, answer: DomainInfo | NotDone | None) -> None:
        if isinstance(answer, DomainInfo):
            self._found.append(answer)
        elif answer is not None:
            self._why_not = self._why_not or _reason(answer, self._domain)
        self._left -= 1
        if not self._left:
            self._then(meant(self._domain, self._found), self._why_not)


def _reason(not_done: NotDone, domain: str) -> Reason:
    made = reason_now(not_done.cause, text=not_done.text(domain), phase=Phase.LIFECYCLE)
    return made if not_done.error is None else replace(made, error=not_done.error)


def _away(hypervisor: Hypervisor) -> Reason:
    """Why nothing can be asked there."""
    why = hypervisor.why_away
    return replace(why, text=f"{hypervisor.uri} cannot be asked: {why.text}")
