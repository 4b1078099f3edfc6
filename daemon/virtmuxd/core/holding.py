"""A console that is held: how an attachment begins, whether it is still served, and how it ends."""

from virtmux.messages import State
from virtmux.reasons import Cause, Phase
from virtmux.records import Attached, Ended, rfc3339
from virtmuxd.core import explaining
from virtmuxd.core.effects import Begin, ClearTimer, Close, End, Explain, SetTimer
from virtmuxd.core.ending import Ending
from virtmuxd.core.events import Down, Elapsed, Event, Failed, Fenced, Opened, Spoke, Timer
from virtmuxd.core.evidence import Failure, assume, classify
from virtmuxd.core.life import Life, is_soon

#: An attachment that lasted this long (ns) was a success: asking for the console starts over at short intervals.
_LASTING = 10 * 10**9

#: The last output of a guest that is gone has come within this time (ns), also over a slow connection.
_DRAINED = 60 * 10**9


# It begins.


def opened(life: Life, event: Opened) -> None:
    """The console is held; what may be missing before that is told first."""
    missing = life.breaks.at_opening(event.at, event.since, life.held.started_at)
    if missing is not None:
        life.sequence.mark(missing)
    _attach(life, event)


def reopened(life: Life, event: Opened) -> None:
    """It ended, and could be opened again: nobody took it. The mark is completed before the new attachment brings
    anything."""
    ending, life.ending = explaining.being_ended(life), None
    if ending.false_alarm:
        _go_on(life, ending, event)
    else:
        explaining.conclude(life, ending)
        opened(life, event)


def _go_on(life: Life, ending: Ending, event: Opened) -> None:
    """It was no end, the console was only cut and opened again. Output may be missing, from when it was surely served
    last: somebody may have taken the console without a word, and left."""
    life.silence.trusted = False
    life.effects += [ClearTimer(Timer.EVIDENCE), Explain(Cause.STREAM_ENDED)]
    since = life.breaks.unheld_since or event.at
    life.sequence.complete(ending.mark, life.breaks.tell(event.at, since, event.at))
    _attach(life, event)


def _attach(life: Life, event: Opened) -> None:
    life.marked = None
    life.attached_at = event.at
    life.attachment += 1
    life.enter(State.ATTACHED)
    life.effects.append(Begin(event.at, life.attachment, event.shared))
    life.sequence.mark(Attached(rfc3339(event.at), life.attachment, life.held.number))
    life.silence.begin(event.at, shared=event.shared)
    release(life, event)


# It lasts.


def spoke(life: Life, event: Spoke) -> None:
    """The guest said its first word after a silence."""
    life.effects += life.silence.spoke(event.at)


def fenced(life: Life, event: Fenced) -> None:
    """Its stream is served."""
    life.silence.fenced(event.at)


# It ends.


def elapsed(life: Life, event: Elapsed) -> None:
    """It is time for a probe, or its stream has outlived its guest for too long, or it is the end of a linger."""
    match event.timer:
        case Timer.PROBE if life.is_outlived:
            life.silence.watch()  # a probe would go to whoever has the terminal
        case Timer.PROBE:
            life.effects += life.silence.elapsed(event.at)
        case Timer.OUTLIVED if _may_be_its_last(life, event.at):
            life.effects.append(SetTimer(Timer.OUTLIVED, life.timing.outlived))
        case Timer.OUTLIVED:
            _end(life, event, Failure(Phase.LIFECYCLE, event.at))
        case _:
            release(life, event)


def _may_be_its_last(life: Life, at: int) -> bool:
    """Whether output has come since the timer was set, which may be the last of the guest: for so long at most, as it
    may be somebody else's."""
    spoke_at, since = life.silence.spoke_at, life.outlived_since
    assert since is not None, "only then it has this timer"
    waited = round(life.timing.outlived * 10**9)
    return spoke_at is not None and is_soon(at, spoke_at, waited) and is_soon(at, since, _DRAINED)


def release(life: Life, event: Event) -> None:
    """Let the console go where there is no claim to it any more."""
    if not life.claim.laid:
        _end(life, event, Failure(Phase.SERVER, event.at, cause=Cause.CONSOLE_RELEASED))


def hypervisor_lost(life: Life, event: Down) -> None:
    """The console is lost with its hypervisor."""
    _end(life, event, Failure(Phase.CONNECTION, event.at, event.error, event.cause))


def failed(life: Life, event: Failed) -> None:
    """Its stream or its connection ended, or is served no more."""
    _end(life, event, event.failure)


def _end(life: Life, event: Event, failure: Failure) -> None:
    """Save the root cause and reserve its mark at this offset; then clean up and look for evidence."""
    life.enter(State.ENDING)
    life.silence.end()
    life.breaks.let_go(_held_until(life, failure))
    if not is_soon(failure.at, life.attached_at, _LASTING):
        life.backoff.reset()
    provisional = life.reason(classify(failure, life.held) or assume(failure, life.held), failure, life.held)
    mark = life.sequence.reserve(Ended(provisional.at, life.attachment, provisional))
    life.effects += [End(failure.at), Close(), SetTimer(Timer.EVIDENCE, life.timing.evidence)]
    explaining.begin(life, Ending(failure, life.held, life.attachment, mark, life.timing.answer), event)


def _held_until(life: Life, failure: Failure) -> int:
    """Until when the guest's output was surely received; of its next start none was, where that was seen meanwhile."""
    until = life.silence.served_at if failure.stalled else failure.at
    if life.outlived_since is None or life.newest.number == life.held.number:
        return until
    return min(until, life.newest.started_at or life.outlived_since)
