"""A console that is not held is sought, where there is a claim to it: opened if that makes sense now, else waited for.

What is waited for is told once: it makes a mark where it is news.
"""

from virtmux.messages import State
from virtmux.reasons import CAUSES, GUEST_ENDS, Cause, LibvirtEvent, Phase
from virtmuxd.core.effects import ClearTimer, Move, SetTimer, Wait
from virtmuxd.core.events import Demand, Down, Event, OpenFailed, Timer, Undefined
from virtmuxd.core.evidence import (
    Failure,
    Verdict,
    has_lost_its_pty,
    is_starting,
    opening_cause,
    stopped_cause,
)
from virtmuxd.core.life import Life, is_soon

#: What an end announces: waiting for one of these causes is no news after it, and makes no mark.
_ANNOUNCED: dict[Cause, frozenset[Cause]] = {
    Cause.CONSOLE_TAKEN_OVER: frozenset({Cause.CONSOLE_BUSY}),
    Cause.DEVICE_REMOVED: frozenset({Cause.CONSOLE_MISSING}),
    Cause.GUEST_UNDEFINED: frozenset({Cause.GUEST_NOT_RUNNING}),
    Cause.HYPERVISOR_LOST: frozenset({Cause.HYPERVISOR_TIMEOUT}),
    Cause.HYPERVISOR_TIMEOUT: frozenset({Cause.HYPERVISOR_LOST}),
} | dict.fromkeys(GUEST_ENDS, frozenset({Cause.GUEST_NOT_RUNNING}))

#: So long (ns) after the hypervisor has come back a console that is busy may be so by our own former stream, or that of
#: a former daemon, which libvirt has not given up yet.
_EAGER = 2 * 10**9

#: So many tries in a row at a PTY that cannot be opened are made without a word: its guest may be ending.
_SOON_GONE = 3


def seek(life: Life, event: Event) -> None:
    """Open the console if that makes sense now, else say what is waited for."""
    at = event.at
    _follow_guest(life, at)
    newest, claim = life.newest, life.claim
    if claim.demanded and claim.why_not is not None:
        wait(life, Cause.CONSOLE_RELEASED, Failure(Phase.SERVER, at), after_s=claim.left_s(at))
    elif not claim.laid:
        life.enter(State.ABSENT)
    elif life.down is not None:
        wait(life, life.down.cause, Failure(Phase.CONNECTION, at, life.down.error))
    elif newest.running and newest.device_removed is not None:
        wait(life, Cause.CONSOLE_MISSING, Failure(Phase.LIFECYCLE, at), event=newest.device_removed)
    elif newest.running:
        life.enter(State.OPENING)
        life.open()
    elif life.undefined_by is not None:
        undefined(life, life.undefined_by)
    else:
        wait(life, Cause.GUEST_NOT_RUNNING, Failure(Phase.LIFECYCLE, at), event=newest.stopped)


def _follow_guest(life: Life, at: int) -> None:
    """Go where the guest has gone."""
    arrived = life.journey.arrived if life.journey is not None else None
    if life.has_moved and arrived is not None:
        life.journey = life.down = None
        life.breaks.guest_arrived(arrived.at)
        life.incarnations.moved(arrived.running_id, paused=arrived.paused)
        life.effects += [Move(), *life.claim.timers(at)]


def opening_failed(life: Life, event: OpenFailed) -> None:
    """The console cannot be had, at least now."""
    life.pty_lost = life.pty_lost + 1 if has_lost_its_pty(event.error) else 0
    if not life.claim.laid or life.has_moved:
        seek(life, event)
        return
    cause = event.cause or (opening_cause(event.error) if event.error else Cause.INTERNAL_ERROR)
    failure = Failure(Phase.OPEN, event.at, event.error)
    if cause is Cause.GUEST_NOT_RUNNING and not life.newest.running:
        wait(life, cause, failure, event=life.newest.stopped)
    elif life.available and not life.newest.running:
        seek(life, event)  # it ended meanwhile, and that is the better reason
    elif life.available:
        retry(life, cause, failure)
    else:
        wait(life, cause, failure)


# Waiting.


def retry(life: Life, cause: Cause, failure: Failure) -> None:
    """Ask again for a console that should be there, if that may help: at once by force, where a person said so; else
    later."""
    if not CAUSES[cause].retry:
        wait(life, cause, failure)
    elif cause is Cause.CONSOLE_BUSY and life.may_force:
        life.may_force = False
        life.enter(State.OPENING)
        life.open(force=True)
    else:
        _retry_later(life, cause, failure)


def _retry_later(life: Life, cause: Cause, failure: Failure) -> None:
    """At growing intervals; but often where it is our own former stream that holds it. Of that nothing is said, nor of
    a guest that is just being started, or ending."""
    ours = life.breaks.unheld_since is not None and is_soon(failure.at, life.back_since, _EAGER)
    eager = ours and cause is Cause.CONSOLE_BUSY
    ending = has_lost_its_pty(failure.error) and life.pty_lost <= _SOON_GONE
    seconds = life.timing.eager if eager else life.backoff.next()
    _begin_to_wait(life, cause, failure, None, seconds)
    if not (eager or ending or is_starting(failure.error)):
        _mark_news(life, cause, failure, None)
    life.effects.append(SetTimer(Timer.RETRY, seconds))


def wait(
    life: Life,
    cause: Cause,
    failure: Failure,
    *,
    event: LibvirtEvent | None = None,
    after_s: float | None = None,
) -> None:
    """Wait for `cause` to pass; `failure` is what it was seen by. Where it is news, it is told."""
    _begin_to_wait(life, cause, failure, event, after_s)
    _mark_news(life, cause, failure, event)


def _begin_to_wait(
    life: Life, cause: Cause, failure: Failure, event: LibvirtEvent | None, after_s: float | None
) -> None:
    life.waiting = life.reason(Verdict(cause, event), failure, life.newest, after_s=after_s)
    if life.state is State.WAITING:
        life.effects.append(ClearTimer(Timer.RETRY))
    else:
        life.enter(State.WAITING)
        life.effects.append(Wait(failure.at, life.waiting))


def _mark_news(life: Life, cause: Cause, failure: Failure, event: LibvirtEvent | None) -> None:
    """An end that no attachment had: a failed opening, or what happens while the console waits.

    No news is what the last mark announced, and that a guest does not run when somebody asks for it first.
    """
    if life.marked is None and failure.phase is not Phase.OPEN:
        life.marked = cause
    elif cause is not life.marked and cause not in _ANNOUNCED.get(life.marked or cause, ()):
        known = stopped_cause(event) if event is not None else None
        life.mark_end(Verdict(known or cause, event), failure)


def demanded_again(life: Life, event: Demand) -> None:
    """Somebody came or went: who comes gets a fresh answer, which does not make the next try come later."""
    if event.present and life.waiting is not None and life.waiting.retry.after_s is not None:
        life.backoff.take_back()
    if event.present or not life.claim.laid:
        seek(life, event)


def hypervisor_lost(life: Life, event: Down) -> None:
    """The hypervisor is gone too; a guest that does not run, or a policy, is still the better reason."""
    better = (Cause.GUEST_NOT_RUNNING, Cause.CONSOLE_RELEASED)
    if life.has_arrived:
        seek(life, event)
    elif life.waiting is not None and life.waiting.cause not in better:
        wait(life, event.cause, Failure(Phase.CONNECTION, event.at, event.error))


def undefined(life: Life, event: Undefined) -> None:
    """Nobody need wait any more for a guest that is gone."""
    if life.undefined_by is None:
        return
    life.undefined_by = None
    if life.marked is not Cause.GUEST_UNDEFINED:
        life.mark_end(Verdict(Cause.GUEST_UNDEFINED, event.event), Failure(Phase.LIFECYCLE, event.at))
    life.enter(State.ABSENT)
