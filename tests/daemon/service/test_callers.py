"""Who a client is: its user's name, its command and unit; and that nobody waits for that for long."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtmuxd.core.cgroup import unit_of
from virtmuxd.service import callers as callers_module
from virtmuxd.service.callers import UNKNOWN, Caller, Callers, Origin, origin_of
from virtmuxd.service.peer import Peer, peer_of


def of_uid(uid: int, pid: int = 0) -> Peer:
    return Peer(pid, uid, uid, frozenset({uid}))


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """What is asked does not answer until this is set."""
    opened = threading.Event()
    monkeypatch.setattr(callers_module, "_DEADLINE", 0.01)
    yield opened
    opened.set()


@pytest.mark.parametrize(("uid", "name"), [(0, "root"), (4_000_000_000, "4000000000")])
async def test_a_user_is_told_by_name_where_there_is_one(uid: int, name: str) -> None:
    callers = Callers()
    assert (await callers.of(of_uid(uid))).user == name
    assert (await callers.of(of_uid(uid))).user == name


async def test_a_directory_of_users_that_does_not_answer_is_not_waited_for(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(uid: int) -> str:
        gate.wait()
        return "late"

    monkeypatch.setattr(callers_module, "_name", slow)
    callers = Callers()
    assert (await callers.of(of_uid(7))).user == "7"
    gate.set()
    await asyncio.wait_for(callers._names[7], 10)
    assert (await callers.of(of_uid(7))).user == "late"


async def test_processes_that_cannot_be_looked_at_hold_nobody_up_and_are_no_more_than_a_few(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def slow(peer: Peer) -> Origin:
        asked.append(peer)
        gate.wait()
        return Origin("late")

    monkeypatch.setattr(callers_module, "origin_of", slow)
    monkeypatch.setattr(callers_module, "_MOST", 3)
    callers = Callers()
    for _ in range(5):
        assert await callers.of(of_uid(0)) == Caller("root", UNKNOWN)
    assert len(asked) == 3
    gate.set()
    monkeypatch.setattr(callers_module, "_DEADLINE", 10.0)
    while callers._under_way:
        await asyncio.sleep(0)
    assert (await callers.of(of_uid(0))).origin == Origin("late")


def test_a_process_has_a_command_and_a_unit() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        origin = origin_of(peer_of(theirs))
    assert origin.command == Path("/proc/self/comm").read_text().removesuffix("\n")
    assert origin.unit == unit_of(Path("/proc/self/cgroup").read_text())


def test_a_command_is_told_without_its_arguments_and_whatever_it_calls_itself() -> None:
    name = b"a\nb\x1b\xff"
    script = f"import sys; open('/proc/self/comm', 'wb').write({name!r}); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, "--password=secret"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert origin_of(of_uid(os.geteuid(), process.pid)).command == name.decode(errors="replace")
        process.communicate()


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    assert origin_of(of_uid(os.geteuid(), process.pid)) == UNKNOWN
    assert origin_of(of_uid(os.geteuid())) == UNKNOWN


def test_a_process_of_another_user_that_has_the_pid_now_is_not_taken_for_it() -> None:
    assert origin_of(of_uid(os.geteuid() + 1, os.getpid())) == UNKNOWN


def test_of_a_zombie_there_is_still_something_to_know() -> None:
    process = subprocess.Popen(["sleep", "100"])
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert origin_of(of_uid(os.geteuid(), process.pid)).command == "sleep"
    process.wait()
