"""An attachment has ended, and why is found out: its `Ending` knows how; here its mark is completed and, once the end
is over, the console is sought again."""

from dataclasses import replace

from msgspec import structs

from virtmux.reasons import GUEST_ENDS, Cause
from virtmux.records import Ended
from virtmuxd.core.effects import ClearTimer, Explain, Open
from virtmuxd.core.ending import Ending
from virtmuxd.core.events import Event, Timer
from virtmuxd.core.life import Life
from virtmuxd.core.seeking import retry, seek


def begin(life: Life, ending: Ending, event: Event) -> None:
    """The attachment has just ended; what is known may explain it already."""
    life.ending = ending
    ending.judge()
    _tell(life, ending)
    _proceed(life, event)


def explain(life: Life, event: Event) -> None:
    """Something is known that may explain the end, or that it is over."""
    ending = being_ended(life)
    for command in ending.learn(event):
        if isinstance(command, Open):
            life.open()
        else:
            life.effects.append(command)
    _tell(life, ending)
    _proceed(life, event)


def conclude(life: Life, ending: Ending) -> None:
    """Nothing more will come: tell the end with what is known."""
    ending.decide(ending.last_word)
    _tell(life, ending)


def being_ended(life: Life) -> Ending:
    """The end that is being explained."""
    assert life.ending is not None
    return life.ending


def _tell(life: Life, ending: Ending) -> None:
    """Complete the mark, once the cause is decided."""
    verdict = ending.verdict
    if verdict is None or ending.told:
        return
    ending.told = True
    life.marked = verdict.cause
    is_newest = life.newest.number == ending.evidence.number
    if verdict.cause in GUEST_ENDS and is_newest and not ending.failure.stalled:
        life.breaks.guest_ended()
    life.effects += [ClearTimer(Timer.EVIDENCE), Explain(verdict.cause)]
    reason = life.reason(verdict, ending.failure, ending.evidence)
    reason = structs.replace(reason, offset=ending.mark.offset, later_errors=tuple(ending.later_errors))
    life.sequence.complete(ending.mark, Ended(reason.at, ending.attachment, reason))


def _proceed(life: Life, event: Event) -> None:
    """Go on once the end is over: at once to a new incarnation, after an interval to the same."""
    ending = life.ending
    if ending is None or ending.verdict is None or not ending.over:
        return
    life.ending = None
    cause = ending.verdict.cause
    same = life.newest is ending.evidence and life.newest.running and life.newest.device_removed is None
    if same and life.claim.laid and life.available and cause is not Cause.CONSOLE_RELEASED:
        now_held = Cause.CONSOLE_BUSY if cause is Cause.CONSOLE_TAKEN_OVER else cause
        retry(life, now_held, replace(ending.failure, at=event.at))
    else:
        seek(life, event)
