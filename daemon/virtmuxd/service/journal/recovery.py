"""What a daemon that starts learns from the journal: which histories may go on, and what it needs for that."""

import logging
import os
from pathlib import Path
from typing import NamedTuple

from virtmux.journal.entries import DamagedError, Head, Opened, Stopped, decode, encode
from virtmux.journal.names import BY_ID, INDEX, component, home
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.service.journal.disk import Addition, append
from virtmuxd.service.journal.examination import Walk
from virtmuxd.service.journal.segments import read_head
from virtmuxd.service.journal.settings import Settings

_log = logging.getLogger(__name__)

_TAIL = 16384
_NEVER_STOPPED = Stopped(
    at=0, offset=0, mark=1, incarnation=0, boot_offset=0, boot_mark=1, held_until=None, released_until=None
)


class Recovered(NamedTuple):
    """What the journal knows of a console, as far as the last lines of its index tell.

    Only where the last one is a clean stop (`clean`) may its history go on after another boot; then what is said is
    exact. The incarnation and the times are those of the newest clean stop that was seen, else 0 and None. With a
    `standing` clean stop, one that the disk did not let be taken back, it must not go on at all.
    """

    history: str
    offset: int
    mark: int
    clean: bool
    incarnation: int
    running_id: int
    boot_incarnation: int
    boot_offset: int
    boot_mark: int
    held_until: int | None
    released_until: int | None
    boot: str
    domain: str
    standing: bool = False


def recover(settings: Settings) -> dict[ConsoleKey, Recovered]:
    """What is known of all consoles, at the daemon's start: quick, it reads both ends of each index.

    One that cannot be read is left out, with a warning.

    Raises:
        OSError: the directory cannot be read.
    """
    found = {}
    for index in sorted((settings.directory / BY_ID).glob(f"*/*/*{INDEX}")):
        try:
            head, recovered = _recover(index)
            key = ConsoleKey(head.hypervisor, head.uuid, head.device)
            if index != home(settings.directory, head.hypervisor, head.uuid) / (component(head.device) + INDEX):
                raise DamagedError("it is another console's")  # noqa: TRY301
        except (DamagedError, OSError) as error:
            _log.warning("an index of the journal is not read", extra={"path": str(index), "error": str(error)})
        else:
            found[key] = recovered
    return found


def use_up(settings: Settings, key: ConsoleKey, boot: str, at: int) -> None:
    """See to it that a clean stop counts once: say that this boot goes on with the history, before anything comes.

    Raises:
        OSError: the disk does not take it: then the history must not go on.
    """
    lies = home(settings.directory, key.hypervisor, key.uuid) / (component(key.device) + INDEX)
    line = Addition(lies, lies.stat().st_size, encode(Opened(boot, at)))
    append(line, sync=settings.sync != "never")


def give_back(settings: Settings, key: ConsoleKey, found: Recovered, boot: str, at: int) -> None:
    """Let a clean stop count again that was used up, of a console that was not there since: nothing came."""
    index = home(settings.directory, key.hypervisor, key.uuid) / (component(key.device) + INDEX)
    with index.open("rb") as opened:
        opened.seek(max(0, index.stat().st_size - _TAIL))
        last = opened.read().splitlines(keepends=True)[-1]
    if not isinstance(decode(last), Opened):
        return
    stopped = Stopped(
        at=at,
        offset=found.offset,
        mark=found.mark,
        incarnation=found.incarnation,
        running_id=found.running_id if found.boot == boot else -1,
        boot_incarnation=found.boot_incarnation,
        boot_offset=found.boot_offset,
        boot_mark=found.boot_mark,
        held_until=found.held_until,
        released_until=found.released_until,
    )
    append(Addition(index, index.stat().st_size, encode(stopped)), sync=settings.sync != "never")


def _recover(index: Path) -> tuple[Head, Recovered]:
    head = read_head(index)
    if head is None:
        raise DamagedError("it does not begin as an index does")
    with index.open("rb") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(0, size - _TAIL))
        tail = opened.read()
    walk, stopped, whole = Walk(head), _NEVER_STOPPED, True
    for line in tail.splitlines(keepends=True)[1:]:  # the first is cut, or the head
        try:
            entry = decode(line)
        except DamagedError:
            whole = False
            continue
        walk.take(entry)
        stopped = entry if isinstance(entry, Stopped) else stopped
    clean = whole and isinstance(walk.last, Stopped)
    offset, mark = (stopped.offset, stopped.mark) if clean else walk.position
    return head, Recovered(
        head.history,
        offset,
        mark,
        clean,
        stopped.incarnation,
        stopped.running_id,
        stopped.boot_incarnation,
        stopped.boot_offset,
        stopped.boot_mark,
        stopped.held_until,
        stopped.released_until,
        walk.boot,
        walk.domain,
    )
