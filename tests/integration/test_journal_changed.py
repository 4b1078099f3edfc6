"""Somebody changes a log under the daemon: what is lost is named, the rest is read, and what comes goes on."""

import os
import shutil
from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.harness.console_log import ConsoleLog, raw_log_of_files
from tests.harness.follower import follow
from tests.harness.guest import BANNER
from tests.integration.conftest import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALL = len(BANNER)
HALF = ALL // 2
FOREIGN = b"what somebody else wrote, and more than the guest had\n"


class Change(NamedTuple):
    """What somebody does, and how many of the bytes before it can be read thereafter."""

    do: Callable[[ConsoleLog], object]
    readable: int


def _append(log: ConsoleLog) -> None:
    with log.path.open("ab") as file:
        file.write(FOREIGN)


def _replace(log: ConsoleLog) -> None:
    log.path.unlink()
    log.path.write_bytes(FOREIGN)


def _rename(name: str, *, create: bool) -> Callable[[ConsoleLog], None]:
    def do(log: ConsoleLog) -> None:
        log.path.rename(log.path.with_name(name))
        if create:
            log.path.touch(0o600)

    return do


def _copy_and_truncate(log: ConsoleLog) -> None:
    shutil.copy2(log.path, log.path.with_name("serial0.log.1"))
    os.truncate(log.path, 0)


CHANGES = {
    "truncated": Change(lambda log: os.truncate(log.path, 0), 0),
    # What is left of it cannot be verified: it might be somebody else's.
    "cut": Change(lambda log: os.truncate(log.path, HALF), 0),
    "appended-to": Change(_append, ALL),
    "deleted": Change(lambda log: log.path.unlink(), 0),
    "moved-away": Change(lambda log: log.path.rename(log.link.parent / "elsewhere"), 0),
    "replaced": Change(_replace, 0),
    "index-deleted": Change(lambda log: log.index.unlink(), 0),
    "directory-deleted": Change(lambda log: shutil.rmtree(log.path.resolve().parent), 0),
    "logrotate": Change(_rename("serial0.log.1", create=False), ALL),
    "logrotate-create": Change(_rename("serial0.log.1", create=True), ALL),
    "logrotate-copytruncate": Change(_copy_and_truncate, 0),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_what_somebody_does_to_a_log_is_noticed_and_named(stage: Stage, change: Change) -> None:
    guest = await stage.start(stage.libvirtd, state="paused")
    log = ConsoleLog(stage.mux.journal, guest.name)
    async with follow(stage.mux.socket, guest.name) as client:
        await guest.resume()
        await log.until_data(BANNER)
        change.do(log)
        stage.mux.hang_up()
        await client.write(b"after")
        await log.until(lambda log: log.path.read_bytes() == b"after")
        await client.write(b"wards")
        await log.until(lambda log: log.path.read_bytes() == b"afterwards")
        assert client.output == BANNER + b"afterwards"
        assert client.offsets == [(0, ALL + 10)]

        output, said = await raw_log_of_files(stage.mux, guest.name)
        assert output == BANNER[: change.readable] + b"afterwards"
        lost = f"{ALL - change.readable} bytes of output are missing here ({change.readable} to {ALL})"
        assert (lost in said) == (change.readable < ALL)
        # From offset 0 on, of which the ring has all.
        async with follow(stage.mux.socket, guest.name, position="0") as late:
            await late.until_offset(ALL + 10)
            assert late.output == client.output
    _nothing_foreign_is_lost(log, change)


def _nothing_foreign_is_lost(log: ConsoleLog, change: Change) -> None:
    if change.do in (_append, _replace):
        assert any(path.read_bytes().endswith(FOREIGN) for path in log.rotated)
