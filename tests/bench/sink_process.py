"""So many clients of one console that read all they are given: a process of its own, so that what it costs is not the
multiplexer's.

    python3 -m tests.bench.sink_process PROTOCOL CLIENTS ADDRESS...

It says `ready` once all are there, and the pids of those that are programs; given `warm WORD`, it says `warm` once all
have got that word, and nothing more comes. Given `take SIZE`, it reads until each has got so many bytes more, or
nothing has come for a while, and prints what each has got, and the seconds from the first byte to the last.
"""

import json
import os
import select
import sys
import time
from collections.abc import Callable

from tests.bench.peers.protocols import PROTOCOLS, Client

#: Seconds without a byte, after which the rest is taken for lost; and to wait for anything else.
LOST_S = 3.0
PATIENCE_S = 30.0
#: Seconds without a byte, after which no more are under way.
QUIET_S = 0.1
_BUFFER = memoryview(bytearray(1 << 18))


Wait = Callable[[float], list[Client]]
"""Waits until some of the clients have something, and gives them; none after so many seconds."""


def _read(client: Client) -> memoryview:
    size = os.readv(client.descriptor, [_BUFFER])
    if size == 0:
        raise EOFError("the multiplexer has ended a connection")
    return _BUFFER[:size]


def warm(clients: dict[int, Client], poll: Wait, word: bytes) -> None:
    """Wait until each has got a word.

    Raises:
        TimeoutError: not all have.
    """
    tails = dict.fromkeys(clients, b"")
    while ready := poll(PATIENCE_S if tails else QUIET_S):
        for client in ready:
            data = _read(client)
            client.take(data)
            if client.descriptor in tails:
                tail = tails[client.descriptor] = (tails[client.descriptor] + data)[-1000:]
                if word in tail:
                    del tails[client.descriptor]
    if tails:
        raise TimeoutError(f"{len(tails)} clients have got nothing")


def take(clients: dict[int, Client], poll: Wait, size: int) -> tuple[list[int], float]:
    """Read so many bytes at each, as far as they come; what each has got, and how long that took (s)."""
    for client in clients.values():
        client.received = 0
    waiting = set(clients)
    began = last = 0.0
    while waiting:
        ready = poll(LOST_S if began else PATIENCE_S)
        if not ready:
            break
        last = time.perf_counter()
        began = began or last
        for client in ready:
            client.take(_read(client))
            if client.received >= size:
                waiting.discard(client.descriptor)
        if not waiting:
            last = time.perf_counter()
    return [client.received for client in clients.values()], last - began


def main(protocol: str, number: str, *address: str) -> None:
    """See the module."""
    clients = {client.descriptor: client for client in (PROTOCOLS[protocol](*address) for _ in range(int(number)))}
    print("ready", *(client.pid for client in clients.values() if client.pid is not None), flush=True)
    poller = select.epoll()
    for descriptor in clients:
        poller.register(descriptor, select.EPOLLIN)

    def poll(seconds: float) -> list[Client]:
        return [clients[descriptor] for descriptor, _ in poller.poll(seconds)]

    for line in sys.stdin:
        match line.split():
            case ["warm", word]:
                warm(clients, poll, word.encode())
                print("warm", flush=True)
            case ["take", size]:
                received, seconds = take(clients, poll, int(size))
                print(json.dumps({"received": received, "seconds": seconds}), flush=True)
            case unknown:
                raise ValueError(f"what is {unknown}?")
    for client in clients.values():
        client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
