"""The hypervisors that the daemon was told to serve: whether each is connected, since when, and why not."""

from virtmux.messages import HypervisorInfo
from virtmux.reasons import Cause, Phase, Reason, Retry, SavedError
from virtmux.records import rfc3339
from virtmuxd.core.counters import Counters
from virtmuxd.core.errands import Errands

#: Drivers that give a console to several libvirt clients at once, who then steal each other's output.
_SHARING_DRIVERS = frozenset({"lxc", "bhyve"})

#: Why a hypervisor cannot be had, worded for it and not for one of its consoles.
_TEXTS = {
    Cause.HYPERVISOR_LOST: "the hypervisor cannot be reached",
    Cause.HYPERVISOR_TIMEOUT: "the hypervisor does not answer",
    Cause.HYPERVISOR_DENIED: "virtmux may not connect to the hypervisor",
    Cause.INTERNAL_ERROR: "virtmux failed at the hypervisor; its log has the details",
}


def is_exclusive(hypervisor: str) -> bool:
    """Whether a hypervisor, by its id or else its URI, gives a console to one libvirt client at a time."""
    driver = hypervisor.partition(":")[0].partition("/")[0].partition("+")[0]
    return driver.lower() not in _SHARING_DRIVERS


class Hypervisor:
    """What is known of one URI. Times in nanoseconds."""

    def __init__(self, uri: str, at: int) -> None:
        self.uri = uri
        self.id: str | None = None
        self.counters = Counters()
        self.reason: Reason | None = None
        #: Done at its domains, while it is connected.
        self.errands: Errands | None = None
        self._connected = False
        self._since = at

    def connect(self, at: int, errands: Errands | None = None) -> None:
        """It answers, and was looked at; `errands` are done at its domains."""
        self._change(at, connected=True)
        self.reason = None
        self.errands = errands

    def disconnect(
        self, at: int, cause: Cause, error: SavedError | None, *, detail: str | None, retry_s: float | None
    ) -> None:
        """It cannot be reached, or is not served: then `detail` says why. Tried again in `retry_s`, or never."""
        self._change(at, connected=False)
        self.errands = None
        text = f"{_TEXTS[cause]}: libvirt: {error.message}" if error else _TEXTS[cause]
        self.reason = Reason(
            cause=cause,
            text=detail or text,
            phase=Phase.CONNECTION,
            at=rfc3339(at),
            error=error,
            retry=Retry(will_retry=retry_s is not None, after_s=retry_s),
        )

    @property
    def connected(self) -> bool:
        """Whether it answers."""
        return self._connected

    @property
    def why_away(self) -> Reason:
        """Why nothing can be asked there, where it is not connected."""
        return self.reason or Reason(
            cause=Cause.HYPERVISOR_LOST,
            text="it is not connected yet",
            phase=Phase.CONNECTION,
            at=rfc3339(self._since),
            retry=Retry(will_retry=True),
        )

    def _change(self, at: int, *, connected: bool) -> None:
        if connected != self._connected:
            self._connected, self._since = connected, at

    def info(self, consoles: int) -> HypervisorInfo:
        """The hypervisor, which has so many consoles, as `list` shows it."""
        return HypervisorInfo(
            uri=self.uri,
            id=self.id,
            connected=self._connected,
            since=rfc3339(self._since),
            reason=self.reason,
            exclusive=is_exclusive(self.id or self.uri),
            consoles=consoles,
            counters=self.counters.snapshot(),
        )
