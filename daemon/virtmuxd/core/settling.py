"""When input that is unsettled gets its fence: once there is a pause, so that who types waits for none. Pure."""

from collections.abc import Callable

from virtmuxd.core.inputs import Batch, Inputs
from virtmuxd.core.later import Later

#: There is a look for a pause every so many seconds, and after so many looks there is a fence anyway.
_LOOK_S, _LOOKS = 0.1, 10


class Settling:
    """See the module."""

    def __init__(self, inputs: Inputs, later: Later, send_input: Callable[[], None]) -> None:
        """`send_input` is called once a fence waits in `inputs`."""
        self._inputs = inputs
        self._later = later
        self._send_input = send_input
        #: How many looks are left (0: nobody looks), and whether input was sent since the last.
        self._looks, self._sent_since = 0, False

    def sent(self, batch: Batch) -> None:
        """A batch was sent, and `inputs` knows it."""
        self._sent_since = self._sent_since or bool(batch.packets)
        if self._inputs.unsettled and not self._looks:
            self._looks, self._sent_since = _LOOKS, False
            self._later(_LOOK_S, self._look)

    def _look(self, _at: int) -> None:
        """Ask for a fence if nothing was sent since the last look, or if this was the last one; else look again."""
        self._looks -= 1
        if self._looks and self._sent_since and self._inputs.unsettled:
            self._sent_since = False
            self._later(_LOOK_S, self._look)
            return
        self._looks = 0
        if self._inputs.unsettled:
            self._inputs.ask()
            self._send_input()
