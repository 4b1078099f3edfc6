"""The links by which people find a guest's files: DIRECTORY/DOMAIN -> by-id/HYPERVISOR/UUID.

The guest that is called so has the plain name; another of the same name, on another hypervisor or undefined since, is
DOMAIN~HYPERVISOR~UUID. What somebody else put in the place of a link is left alone. A link is a convenience: that the
disk does not take one is logged, and harms nothing.
"""

import hashlib
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from virtmux.journal.names import BY_ID, component

_log = logging.getLogger(__name__)

_MOST_BYTES = 255
_DIGEST = 32
_PARTS = 3


class _Owner(NamedTuple):
    """A guest, each part as it stands in a path."""

    hypervisor: str
    uuid: str

    @property
    def target(self) -> str:
        return f"{BY_ID}/{self.hypervisor}/{self.uuid}"


def _owner(home: Path) -> _Owner:
    return _Owner(home.parent.name, home.name)


class Links:
    """Keeps the links in step with which guest is called what. Nothing is read before it is asked for something."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._present: dict[_Owner, str] = {}
        self._links: dict[_Owner, set[str]] | None = None
        self._told: set[str] = set()

    def place(self, home: Path, domain: str) -> None:
        """The guest whose files lie at `home` is there, and is called so."""
        owner = _owner(home)
        self._present[owner] = domain
        try:
            self._place(owner)
        except OSError as error:
            _log.warning("a link of the journal cannot be made", extra={"path": domain, "error": str(error)})

    def gone(self, home: Path) -> None:
        """The guest was undefined: it keeps its link until another guest has its name."""
        self._present.pop(_owner(home), None)

    def remove(self, home: Path) -> None:
        """The guest's files are gone."""
        owner = _owner(home)
        self._present.pop(owner, None)
        try:
            self._unlink(owner, set())
        except OSError as error:
            _log.warning("a link of the journal cannot be removed", extra={"path": owner.target, "error": str(error)})

    def _place(self, owner: _Owner) -> None:
        plain = component(self._present[owner])
        name = plain if self._may_have(plain, owner) else _long(plain, owner)
        if self._holder(name) != owner:
            self._link(name, owner)
        self._unlink(owner, {name})

    def _may_have(self, name: str, owner: _Owner) -> bool:
        """Whether the guest may have this link; who has it and is there no more gets another."""
        holder = self._holder(name)
        if holder is None:
            return not os.path.lexists(self._directory / name) or self._tell_foreign(name)
        if holder != owner:
            if holder in self._present:
                return False
            if (self._directory / holder.target).is_dir():
                self._link(_long(name, holder), holder)
            self._forget(name, holder)
        return True

    def _holder(self, name: str) -> _Owner | None:
        """Whose link lies there; None where there is none of the journal's."""
        try:
            by_id, *parts = (self._directory / name).readlink().parts
        except (OSError, ValueError):
            return None
        return _Owner(*parts) if by_id == BY_ID and len(parts) + 1 == _PARTS else None

    def _tell_foreign(self, name: str) -> bool:
        if name not in self._told:
            self._told.add(name)
            _log.warning("what lies in the place of a link of the journal is left alone", extra={"path": name})
        return False

    def _link(self, name: str, owner: _Owner) -> None:
        """Make a link, or make one of the journal's lead to this guest."""
        path = self._directory / name
        if self._holder(name) is None and os.path.lexists(path):
            self._tell_foreign(name)
            return
        new = self._directory / BY_ID / ".link"
        new.unlink(missing_ok=True)
        new.symlink_to(owner.target)
        new.rename(path)
        self._known().setdefault(owner, set()).add(name)

    def _unlink(self, owner: _Owner, but: set[str]) -> None:
        """Remove the guest's links, but for these, and give the names to guests that wait for them."""
        freed = self._known().get(owner, set()) - but
        for name in freed:
            if self._holder(name) == owner:
                (self._directory / name).unlink(missing_ok=True)
            self._forget(name, owner)
        for other, domain in list(self._present.items()):
            if other != owner and component(domain) in freed and (self._directory / other.target).is_dir():
                self._place(other)

    def _forget(self, name: str, owner: _Owner) -> None:
        self._known().get(owner, set()).discard(name)

    def _known(self) -> dict[_Owner, set[str]]:
        """The links that lie there."""
        if self._links is None:
            self._links = {}
            with suppress(FileNotFoundError):
                for path in self._directory.iterdir():
                    if (owner := self._holder(path.name)) is not None:
                        self._links.setdefault(owner, set()).add(path.name)
        return self._links


def _long(plain: str, owner: _Owner) -> str:
    """A name that no other guest has; one that is too long ends in a digest."""
    name = f"{plain}~{owner.hypervisor}~{owner.uuid}"
    if len(name.encode()) <= _MOST_BYTES:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]
    return f"{name.encode()[: _MOST_BYTES - _DIGEST - 2].decode('utf-8', 'ignore')}~={digest}"
