"""How much Python it takes to bring a packet to a client, counted in calls: what that costs does not depend on the
machine. `make bench` measures the rest."""

import sys
from collections import Counter
from contextlib import ExitStack, contextmanager
from socket import socketpair
from types import FrameType
from typing import TYPE_CHECKING

from tests.harness.records import sequence
from virtmuxd.service.outgoing import Feed, Outgoing

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS = 50
PACKETS = 20
#: Calls of Python functions for each client and packet, one of which is the clock of asyncio's own loop; and for each
#: packet besides.
EACH, BESIDES = 5, 10


@contextmanager
def counting() -> "Iterator[Counter[str]]":
    """Count the calls of Python functions by their names."""
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            calls[frame.f_code.co_qualname] += 1

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


async def test_a_packet_comes_to_a_client_in_few_calls() -> None:
    records = sequence()
    with ExitStack() as stack:
        pairs = [tuple(stack.enter_context(end) for end in socketpair()) for _ in range(CLIENTS)]
        for daemon, _ in pairs:
            daemon.setblocking(False)
            outgoing = Outgoing(daemon, lambda: None, lambda: None, lambda: None)
            stack.callback(outgoing.close)
            Feed(outgoing, records).flow(paused=False)
        records.append(b"warm", 1)
        records.publish()

        with counting() as calls:
            for _ in range(PACKETS):
                records.append(b"x" * 1000, 2)
                records.publish()

        for _, client in pairs:
            assert len(client.recv(1 << 16)) > PACKETS * 1000
    assert calls.total() <= PACKETS * (EACH * CLIENTS + BESIDES), calls
