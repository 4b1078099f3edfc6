"""The failure boundary of a client, for what others call of it."""

from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

_Arguments = ParamSpec("_Arguments")


class Boundary(Protocol):
    """Where the bugs of a client end."""

    @property
    def has_ended(self) -> bool:
        """Whether the client is not served any more."""

    def fail(self) -> None:
        """End the client because of the bug that is being handled."""


class Contained:
    """A part of a client, in the failure boundary of that."""

    def __init__(self, client: Boundary) -> None:
        self._client = client

    @property
    def has_ended(self) -> bool:
        """As `Boundary`."""
        return self._client.has_ended

    def fail(self) -> None:
        """As `Boundary`."""
        self._client.fail()


_Self = TypeVar("_Self", bound=Boundary)


def contained(
    method: Callable[Concatenate[_Self, _Arguments], None],
) -> Callable[Concatenate[_Self, _Arguments], None]:
    """A bug in `method` ends this client, and not whoever called it; after the client's end it does nothing."""

    def call(self: _Self, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> None:
        if self.has_ended:
            return
        try:
            method(self, *args, **kwargs)
        except Exception:  # noqa: BLE001  # the failure boundary of a client
            self.fail()

    return call
