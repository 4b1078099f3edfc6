"""What messages carry that is no message itself: bounded texts and times, and what the daemon knows. Pure."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from virtmux.reasons import Cause, ConsoleId, Reason
from virtmux.wire import MAX_INPUT, MAX_MESSAGE, MAX_OUTPUT, U32, U63

#: Characters.
MAX_TEXT = 1024
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
"""A string from a client, in characters: short enough to be repeated in an answer."""

#: Three decades.
MAX_SECONDS = 1_000_000_000
Seconds = Annotated[float, Meta(gt=0, le=MAX_SECONDS)]
"""A length of time from a client: bounded, so that it can be added to any time that a daemon may live to see."""

#: Keys that are pressed together.
MAX_KEYS = 16
KeyCode = Annotated[int, Meta(ge=1, le=767)]
"""A key by its number in Linux's input-event-codes.h, `KEY_ESC` to `KEY_MAX`."""

MIN_LAG = MAX_OUTPUT
"""The least that a place may be allowed to lag, in bytes: a frame."""


MAX_PIECE = 10_000
"""Characters of a piece of a long text: however they are escaped, it fits into a message."""


def sendable(text: str) -> str:
    """`text`, which a client may send as a `Text`.

    Raises:
        ValueError: it is too long, or not Unicode, as a command line that is not UTF-8.
    """
    if len(text) > MAX_TEXT:
        raise ValueError(f"a text of {len(text)} characters, and at most {MAX_TEXT} can be sent")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"not UTF-8: {text!a}") from None
    return text


class State(StrEnum):
    """Where a console stands; SPEC.md, "States", has a diagram."""

    ABSENT = "absent"
    OPENING = "opening"
    ATTACHED = "attached"
    ENDING = "ending"
    WAITING = "waiting"


class Limits(Struct, frozen=True):
    """The most that a frame carries of each kind, in bytes. `input_window`: input that a client may have sent to a
    console and not seen the fate of."""

    message: U32 = MAX_MESSAGE
    output: U32 = MAX_OUTPUT
    input: U32 = MAX_INPUT
    input_window: U32 = 65536


class ConsoleInfo(Struct, frozen=True, kw_only=True):
    """A console as `list` shows it. `console` is its handle, `position` the end of its records.

    `running` says whether its domain runs, `paused` whether it runs and is paused, `backend` is libvirt's type of the
    device (`pty`, `file`, ...). `exclusive`: whether libvirt gives it to one client at a time. `policy` is its attach
    policy. `released` is null where it is not released, else the time at which that ends (RFC 3339),
    `until-reclaimed`, or `while-in-use`. `journal` says where its records are kept: on `disk`, or in `memory`;
    `failing` where the disk does not take them now, `none` where nothing of them outlives the daemon.
    """

    console: U32
    id: ConsoleId
    state: State
    since: str
    running: bool
    backend: str
    clients: U32
    attachment: U32 | None
    position: str
    last_output: str | None
    last_end: Reason | None
    exclusive: bool
    paused: bool
    policy: str
    released: str | None
    journal: str


class Counters(Struct, frozen=True):
    """What was counted at a hypervisor since the daemon started.

    `cuts`: connections that were cut at their socket because a call missed its deadline; `stuck_calls`: calls that did
    not return although their connection was cut; `ends`: marks `ended`, by cause; `journal_failures`: times that the
    disk did not take a console's records; `journal_lost`: bytes that came and are in no journal because of that.
    """

    cuts: U63 = 0
    stuck_calls: U63 = 0
    ends: dict[Cause, U63] = {}
    journal_failures: U63 = 0
    journal_lost: U63 = 0


class HistoryInfo(Struct, frozen=True, kw_only=True):
    """What is stored of a console in one history.

    `console` is who it was at its end. `start` and `end` are the positions of the first record that is held and behind
    the last one, `since` and `until` the times between which they came (null: not known). `current`: the console goes
    on with it. `stored`: on `disk`, or in `memory` alone. `size` is what its files take, in bytes.
    """

    console: ConsoleId
    start: str
    end: str
    since: str | None
    until: str | None
    current: bool
    stored: str
    size: U63


class HypervisorInfo(Struct, frozen=True, kw_only=True):
    """A hypervisor as `list` shows it. `id` is null until it was connected to, `since` is when `connected` changed.

    `reason` says why it is not connected; null while it is, and before the first attempt is over. `exclusive`: whether
    its driver gives a console to one libvirt client at a time.
    """

    uri: str
    id: str | None
    connected: bool
    since: str
    reason: Reason | None
    exclusive: bool
    consoles: U32
    counters: Counters
