"""Where daemons are looked for, and the ssh that leads to those of other hosts."""

from pathlib import Path

import pytest

from virtmux.addresses import SshHost, addresses


@pytest.mark.parametrize("name", ["", "-oProxyCommand=reboot", "two words", "two\nlines", "\x1b[1m"])
def test_what_is_no_host_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a host"):
        SshHost(name)


def test_a_host_is_called_as_it_was_named() -> None:
    assert str(SshHost("ssh://alice@host:2222")) == "ssh://alice@host:2222"


def test_ssh_runs_dial_stdio_there_and_forwards_nothing() -> None:
    options = ["-T", "-o", "ForwardX11=no", "-o", "ClearAllForwardings=yes"]
    assert SshHost("host").command({}, again=False) == ["ssh", *options, "--", "host", "virtmux dial-stdio"]


def test_once_more_it_asks_nobody_for_a_password() -> None:
    first, again = (SshHost("host").command({}, again=again) for again in (False, True))
    assert [word for word in again if word not in first] == ["BatchMode=yes", "ConnectTimeout=10"]


def test_another_socket_is_quoted_for_the_shell_there() -> None:
    command = SshHost("host", Path("/run/my virtmux.sock")).command({}, again=False)
    assert command[-1] == "virtmux --socket '/run/my virtmux.sock' dial-stdio"


def test_another_ssh_has_its_own_arguments() -> None:
    command = SshHost("host").command({"VIRTMUX_SSH": "/opt/ssh -F 'my config'"}, again=False)
    assert command[:3] == ["/opt/ssh", "-F", "my config"]


def test_another_host_is_the_only_place_and_without_one_it_is_a_socket_here() -> None:
    host = SshHost("host")
    assert addresses(host, {"VIRTMUX_SOCKET": "/a"}) == [host]
    assert addresses(None, {"VIRTMUX_SOCKET": "/a"}) == [Path("/a")]
