"""What a person is told of the input that they gave: that it waits, that it may not have arrived. Pure."""

from typing import NamedTuple

from virtmux.ledger import InputState
from virtmux.reasons import Cause

#: So many bytes are keys, and nobody has asked for their fate: the last ones before an end have usually arrived.
KEYS = 64


class Held(NamedTuple):
    """Input begins to wait for the guest, in bytes."""

    waiting: int
    accepted: int


class Lost(NamedTuple):
    """Of the last `size` bytes `lost` did not arrive, or perhaps did not."""

    cause: Cause
    size: int
    lost: int


class InputWatch:
    """Takes each state of a place's input and gives what is news in it. `keys`: the input is typed by a person."""

    def __init__(self, *, keys: bool) -> None:
        self._keys = keys
        self._held = False
        self._known: dict[int, InputState] = {}

    def take(self, state: InputState) -> list[Held | Lost]:
        """What there is to say now."""
        before = self._known.get(state.attachment)
        if before is None or _lost(state) < _lost(before) or state.accepted < before.accepted:
            before = InputState(state.attachment, 0)  # also where a new connection counts attachments anew
        self._known[state.attachment] = state
        news: list[Held | Lost] = []
        lost = _lost(state) - _lost(before)
        if lost and state.cause and not (self._keys and lost <= KEYS and state.rejected == before.rejected):
            news.append(Lost(state.cause, lost + state.accepted - before.accepted, lost))
        if state.held and not self._held:
            news.append(Held(state.waiting, state.accepted))
        self._held = state.held
        return news

    def left(self, state: InputState) -> tuple[int, int]:
        """Where the command ends now: the bytes that were not sent, and those that were and may still arrive."""
        if self._keys and not state.held and state.waiting <= KEYS:
            return 0, 0
        return state.unsent, state.waiting - state.unsent


def _lost(state: InputState) -> int:
    return state.unknown + state.rejected
