"""Input on its way to one attachment, without a console: those who type, and a hypervisor side that takes it."""

from virtmux.messages import InputStatus
from virtmux.reasons import Cause
from virtmuxd.core.inputs import Batch, Inputs
from virtmuxd.core.writer import Writer

WINDOW = 20
#: As much as a client may have.
WIDE = 65536


class Typist:
    """A writer that counts along as a client does, and hears of its account."""

    def __init__(self, inputs: Inputs, refusal: Cause | None = None, *, window: int = WINDOW) -> None:
        self._inputs = inputs
        self.told: list[InputStatus] = []
        self.writer = Writer(self._changed, refusal, window=window)
        self._attachment = 0
        self._offset = 0

    def _changed(self) -> None:
        self.told.append(self.status)

    def type(self, data: bytes, attachment: int = 1) -> None:
        """Type at an attachment, where it left off."""
        if attachment != self._attachment:
            self._attachment, self._offset = attachment, 0
        self._inputs.offer(self.writer, attachment, self._offset, data)
        self._offset += len(data)

    @property
    def status(self) -> InputStatus:
        """What the account says."""
        return self.writer.account.status(7)


def status(
    attachment: int = 1,
    *,
    accepted: int = 0,
    unknown: int = 0,
    rejected: int = 0,
    cause: Cause | None = None,
    held: bool = False,
    base: int = 0,
) -> InputStatus:
    """What a typist is told."""
    return InputStatus(7, attachment, accepted, unknown, rejected, cause, held, base)


def started(attachment: int = 1, *, shared: bool = False) -> Inputs:
    """The input of a console that is attached."""
    inputs = Inputs()
    inputs.start(attachment, shared=shared)
    return inputs


def take(inputs: Inputs) -> bytes:
    """What is to be sent next, as one."""
    batch = inputs.take()
    return b"".join(batch.packets) if batch is not None else b""


def send(inputs: Inputs) -> Batch:
    """Send what is to be sent next, and let libvirt take it."""
    batch = inputs.take()
    assert batch is not None
    inputs.sent(batch)
    return batch._replace(prompt=True)


def confirmed(inputs: Inputs) -> Batch:
    """Send it with a fence behind it."""
    inputs.ask()
    return send(inputs)
