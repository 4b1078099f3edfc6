"""The sockets of a connection: whether they take more, and the cut."""

import socket
import threading
from contextlib import suppress

import pytest

from tests.harness.bridge import DEADLINE
from virtmuxd.hypervisor.transport import Transport


def test_a_transport_takes_more_as_long_as_its_socket_has_room() -> None:
    ours, theirs = socket.socketpair()
    transport = Transport()
    assert not transport.takes_more()
    with ours, theirs:
        ours.setblocking(False)
        transport.add(ours.fileno(), 0)
        assert transport.takes_more()

        with suppress(BlockingIOError):
            while True:
                ours.send(bytes(4096))
        assert not transport.takes_more()

        transport.close()
        assert not transport.takes_more()


def test_a_transport_whose_peer_is_gone_takes_nothing() -> None:
    ours, theirs = socket.socketpair()
    transport = Transport()
    with ours:
        transport.add(ours.fileno(), 0)
        theirs.close()
        assert not transport.takes_more()
    transport.close()


def test_the_cut_makes_a_blocked_call_return() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = Transport()
        transport.add(ours.fileno(), 0)
        received: list[bytes] = []
        thread = threading.Thread(target=lambda: received.append(ours.recv(1)))
        thread.start()

        transport.cut()

        thread.join(DEADLINE)
        assert received == [b""]
        assert transport.was_cut
        transport.close()


def test_a_socket_that_is_added_behind_the_cut_is_cut_too() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = Transport()
        transport.cut()

        transport.add(ours.fileno(), 0)

        assert ours.recv(1) == b""
        transport.close()


def test_the_cut_leaves_files_that_are_no_sockets_and_the_connections_own_descriptor(
    pair: tuple[socket.socket, socket.socket], tmp_path_factory: pytest.TempPathFactory
) -> None:
    transport = Transport()
    with (tmp_path_factory.mktemp("files") / "file").open("w") as file:
        transport.add(file.fileno(), 0)
        transport.cut()
        transport.close()
        file.write("still open")
    transport.add(pair[0].fileno(), 0)
    transport.close()
    assert pair[0].fileno() >= 0


def test_a_transport_that_is_closed_keeps_no_descriptor() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            transport = Transport()
            transport.add(ours.fileno(), 0)
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)

        transport.close()

        assert theirs.recv(1) == b""
