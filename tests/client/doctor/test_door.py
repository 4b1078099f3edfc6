"""Why the daemon cannot be talked to."""

import asyncio
import socket
from pathlib import Path

import pytest

from tests.harness.command import COMMAND, environment
from tests.harness.privilege import BOUND
from tests.harness.scripted_daemon import reason
from virtmux.addresses import SshHost
from virtmux.reasons import Cause
from virtmux_cli.doctor.door import Door, closed_door, door_findings, far_findings, no_entry

DENIED = reason(Cause.ACCESS_DENIED)
SOCKET = Path("/run/virtmux/virtmux.sock")


def test_a_socket_of_a_group_is_told_with_how_to_join_it() -> None:
    finding = no_entry(Door(SOCKET, "root", "virtmux"), "alice", {"alice"}, DENIED)
    assert (finding.name, finding.status) == ("socket-permission", 4)
    assert "is open to group virtmux, which this process is not in" in finding.known
    assert "`sudo usermod -aG virtmux alice`" in finding.do


@pytest.mark.parametrize("group", [None, "users"])
def test_a_socket_that_is_open_to_no_other_is_used_as_its_owner(group: str | None) -> None:
    finding = no_entry(Door(SOCKET, "root", group), "alice", {"alice", "users"}, DENIED)
    assert "usermod" not in finding.do
    assert "sudo" in finding.do


def test_a_daemon_that_does_not_run_is_told_with_how_to_start_it() -> None:
    (finding,) = door_findings(reason(Cause.SERVER_LOST), [SOCKET])
    assert (finding.name, finding.status) == ("daemon-not-running", 5)
    assert "--socket" in finding.do


def test_what_the_rules_do_not_allow_is_told_with_where_they_stand() -> None:
    (finding,) = door_findings(DENIED, [])
    assert (finding.name, finding.status) == ("access-denied", 4)
    assert "[[access]]" in finding.do


@pytest.mark.parametrize(("cause", "status"), [(Cause.SERVER_LOST, 5), (Cause.ACCESS_DENIED, 4)])
def test_of_another_host_it_is_not_said_that_no_daemon_runs_there(cause: Cause, status: int) -> None:
    (finding,) = far_findings(reason(cause), SshHost("root@kvm1"))
    assert (finding.name, finding.status) == ("host-unreachable", status)
    assert "`ssh root@kvm1 virtmux doctor`" in finding.do
    assert "systemctl" not in finding.do


def test_an_open_door_is_none(tmp_path: Path) -> None:
    assert closed_door(tmp_path) is None
    assert closed_door(tmp_path / "nobody" / "there") is None


@pytest.mark.parametrize("closed", ["socket", "directory"])
async def test_what_this_user_may_not_pass_is_named(tmp_path: Path, closed: str) -> None:
    path = tmp_path / "run" / "virtmux.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        door = path if closed == "socket" else path.parent
        door.chmod(0)
        try:
            doctor = await _bound(path, "doctor", "--json")
            listed = await _bound(path, "list")
        finally:
            door.chmod(0o700)
    assert (doctor[0], listed[0]) == (4, 4)
    assert f'"known":"{door} belongs to user' in doctor[1]
    assert listed[2] == (
        f"virtmux: this user may not open virtmuxd's socket {path} (access-denied); `virtmux doctor` says who may\n"
    )


async def _bound(path: Path, *arguments: str) -> tuple[int | None, str, str]:
    """What a command says to somebody whom modes bind, as they do not bind root: status, stdout and stderr."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *BOUND, *COMMAND, *arguments, env=environment(path), stdout=pipe, stderr=pipe
    )
    output, said = await process.communicate()
    return process.returncode, output.decode(), said.decode()
