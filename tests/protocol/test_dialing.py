"""How a daemon is reached, or not: by a real socket, and by an ssh that the test writes down."""

import socket
from pathlib import Path

import pytest
from msgspec.structs import replace

import virtmux
from tests.harness.scripted_daemon import AT, reason
from virtmux.addresses import Address, SshHost
from virtmux.dialing import broken, dial, said_by
from virtmux.reasons import Cause, Phase, Reason, sentence

HOST = SshHost("alice@host")
PATH = Path("/run/virtmux.sock")


def said(cause: Cause, text: str, phase: Phase) -> Reason:
    """The whole of a Reason that the client makes itself, but for when."""
    return Reason(cause=cause, text=text, phase=phase, at=AT)


def failing(*addresses: Address) -> tuple[type[virtmux.VirtmuxError], Reason]:
    """How nobody is reached at these."""
    with pytest.raises(virtmux.VirtmuxError) as failed:
        dial(addresses)
    return type(failed.value), replace(failed.value.reason, at=AT)


def test_the_first_socket_where_somebody_listens_is_connected_to(tmp_path: Path) -> None:
    nobody, somebody, another = (tmp_path / name for name in ("nobody", "somebody", "another"))
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as other:
        for each, path in ((listening, somebody), (other, another)):
            each.bind(str(path))
            each.listen()
        address, connected, ssh = dial([nobody, somebody, another])
        with connected:
            assert (address, connected.getpeername(), ssh) == (somebody, str(somebody), None)
            assert not connected.getblocking()


def test_where_nobody_listens_each_socket_is_named_with_what_is_wrong(tmp_path: Path) -> None:
    none, left = tmp_path / "none", tmp_path / "left"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(left))
    text = f"no virtmuxd answers: {none}: No such file or directory, {left}: Connection refused"
    assert failing(none, left) == (virtmux.ConnectionLost, said(Cause.SERVER_LOST, text, Phase.CONNECTION))


def test_a_socket_that_keeps_this_user_out_is_a_refusal_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none, closed = tmp_path / "none", tmp_path / "closed"

    def connect(path: Path) -> socket.socket:  # as modes have it, which do not bind root
        raise PermissionError if path == closed else FileNotFoundError

    monkeypatch.setattr("virtmux.dialing._connect", connect)
    text = f"this user may not open virtmuxd's socket {closed}"
    assert failing(none, closed) == (virtmux.Refused, said(Cause.ACCESS_DENIED, text, Phase.CONNECTION))


def test_another_host_is_at_the_other_end_of_a_socket_that_ssh_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTMUX_SSH", "sh -c 'printf %s \"$*\"'")
    address, connected, ssh = dial([HOST], again=True)
    assert ssh is not None
    with connected:
        ssh.end(10)
        assert (address, connected.getblocking()) == (HOST, False)
        assert connected.recv(1024).decode().split()[-4:] == ["--", "alice@host", "virtmux", "dial-stdio"]
        assert connected.recv(1024) == b""


@pytest.mark.parametrize(
    ("command", "why"),
    [("/no/ssh", "No such file or directory"), ("'", "VIRTMUX_SSH: No closing quotation")],
)
def test_an_ssh_that_cannot_be_run_is_no_fault_of_the_host(
    monkeypatch: pytest.MonkeyPatch, command: str, why: str
) -> None:
    monkeypatch.setenv("VIRTMUX_SSH", command)
    text = f"ssh cannot be run: alice@host: {why}"
    assert failing(HOST) == (virtmux.ConnectionLost, said(Cause.SERVER_LOST, text, Phase.CLIENT))


def test_the_goodbye_of_another_hosts_daemon_names_the_host() -> None:
    why = reason(Cause.EVICTED)
    assert said_by(PATH, why) == why
    assert said_by(HOST, why) == replace(why, text=f"alice@host: {why.text}")


@pytest.mark.parametrize(("address", "greeted"), [(PATH, False), (PATH, True), (HOST, True)])
def test_a_daemon_that_breaks_the_protocol_is_said_to(address: Address, *, greeted: bool) -> None:
    why = broken(address, ValueError("no such kind"), greeted=greeted)
    text = sentence(Cause.PROTOCOL_ERROR, detail="no such kind")
    assert replace(why, at=AT) == said(Cause.PROTOCOL_ERROR, text, Phase.CONNECTION)


def test_before_the_greeting_it_may_be_another_hosts_shell() -> None:
    why = broken(HOST, ValueError("no such kind"), greeted=False)
    text = (
        "what comes from alice@host is not from virtmux; `ssh alice@host true` must print nothing: "
        "see what the shell there reads at its start"
    )
    assert replace(why, at=AT) == said(Cause.SERVER_LOST, text, Phase.CLIENT)
