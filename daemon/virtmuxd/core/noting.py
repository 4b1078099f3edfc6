"""What happens to a guest and does not end its console is told by a note."""

from virtmuxd.core.events import Incoming, Noted, Paused, Renamed, Resumed, TurnedBack
from virtmuxd.core.life import Life


def noted(life: Life, event: Noted) -> None:
    """Something happened to the guest."""
    life.note(event.at, event.note, event.detail)


def paused(life: Life, event: Paused) -> None:
    """The guest's CPUs were stopped."""
    life.note(event.at, event.note, event.detail)


def resumed(life: Life, event: Resumed) -> None:
    """They go on."""
    life.note(event.at, "resumed", event.detail)
    life.silence.watch()  # no probe could be sent behind input that waited


def renamed(life: Life, event: Renamed) -> None:
    """The guest has another name. It does not run, so that the console is not held now."""
    life.note(event.at, "renamed", f"{event.old} to {event.new}")


def migrating(life: Life, event: Incoming) -> None:
    """The guest is on its way to another hypervisor."""
    assert life.journey is not None, "it was learnt a moment ago"
    life.journey.told = True
    life.note(event.at, "migrating", event.uri)


def turned_back(life: Life, event: TurnedBack) -> None:
    """It does not get there."""
    journey, life.journey = life.journey, None
    if journey is not None and journey.told:
        life.note(event.at, "migration-failed", event.uri)
