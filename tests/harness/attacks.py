"""Clients that mean harm, or are broken, one kind at a time.

    python -m tests.harness.attacks ATTACK SOCKET CONSOLE PAUSED SEED

PAUSED is the console of a guest that is paused, and at which nobody else is. In a process of its own, so that what it
does to itself does not show in what others measure. It says how many connections it made. What the daemon answers is
read only where that is part of the attack.
"""

import json
import os
import resource
import select
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from random import Random

from virtmux.messages import (
    Attach,
    ClientHello,
    ClientMessage,
    ConsoleInfo,
    Detach,
    Flow,
    Histories,
    Limits,
    ListConsoles,
    Place,
    Watch,
    encode,
)
from virtmux.session import ClientSession
from virtmux.wire import INPUT, MAX_INPUT, MESSAGE, encode_input, encode_message

#: Seconds that one waits for what never comes, and that an attack is made for, over and over.
_PATIENCE, _SECONDS = 10.0, 1.0
_HELLO = encode(ClientHello(software="hostile"))
#: What a client may have on its way to a console.
INPUT_WINDOW = Limits().input_window


class Attacker:
    """Makes connections to a socket, for what is done to `console`, or to `paused`, which is a paused guest's."""

    def __init__(self, path: Path, console: str, paused: str, chance: Random) -> None:
        self.console = console
        self.paused = paused
        self.chance = chance
        self.made = 0
        self._path = path

    def connect(self) -> socket.socket:
        """One more connection, with a deadline for all that it does."""
        made = socket.socket(socket.AF_UNIX)
        made.connect(str(self._path))  # waits its turn, as one without a deadline does
        made.settimeout(_PATIENCE)
        self.made += 1
        return made

    def say(self, *said: bytes, then: Callable[[socket.socket], object] = lambda _: None) -> None:
        """Connect, say this, and then do that; the daemon may end it at any moment."""
        with self.connect() as made, suppress(OSError):
            for each in said:
                made.sendall(each)
            then(made)

    def attach(self, request: int = 1) -> bytes:
        """A request for a place."""
        return encode(Attach(request, self.console))


def _to_the_end(made: socket.socket) -> bytes:
    """Read all that is said."""
    said = b""
    while data := made.recv(65536):
        said += data
    return said


def _until(word: bytes) -> Callable[[socket.socket], None]:
    """Read until this is said."""

    def read(made: socket.socket) -> None:
        said = b""
        while word not in said:
            said = (said + _heard(made))[-65536:]

    return read


def _heard(made: socket.socket) -> bytes:
    """What comes next."""
    data = made.recv(65536)
    if not data:
        raise ConnectionError("it ended")
    return data


def _header(kind: int, size: int) -> bytes:
    return struct.pack(">IB", size, kind)


# Bytes that are no protocol.


def garbage(attacker: Attacker) -> None:
    """Random bytes, before the hello and behind it."""
    for number in range(50):
        noise = attacker.chance.randbytes(attacker.chance.randint(1, 4096))
        attacker.say(*([_HELLO] if number % 2 else []), noise, then=_to_the_end)


def half_frames(attacker: Attacker) -> None:
    """A frame that is never finished, cut at each of its bytes."""
    with ExitStack() as stack:
        for frame in (_HELLO, attacker.attach()):
            for cut in range(len(frame)):
                made = stack.enter_context(attacker.connect())
                made.sendall((b"" if frame is _HELLO else _HELLO) + frame[:cut])
        time.sleep(1)


def byte_by_byte(attacker: Attacker) -> None:
    """All that is said comes a byte at a time, and slowly."""
    with ExitStack() as stack:
        several = [stack.enter_context(attacker.connect()) for _ in range(20)]
        for at in range(20):
            for made in several:
                with suppress(OSError):
                    made.send(_HELLO[at : at + 1])
            time.sleep(0.05)


def four_gib(attacker: Attacker) -> None:
    """Headers that promise as much as they can, and some of that."""
    for kind in (0, MESSAGE, 2, INPUT, 255):
        for before in (b"", _HELLO):
            attacker.say(before, _header(kind, 2**32 - 1), bytes(1 << 20), then=_to_the_end)


def deep_json(attacker: Attacker) -> None:
    """JSON that is nested as deep as a message is long, that is huge, and that has many keys."""
    texts = [
        b'{"type":"list","id":1,"x":' + b"[" * 65000,
        b'{"type":"list","id":1,"x":' + b"[" * 32000 + b"]" * 32000 + b"}",
        b'{"type":"list","id":1,"x":' + b'{"a":' * 10000,
        b'{"type":"attach","id":1,"domain":"' + b"x" * 65000 + b'"}',
        json.dumps({"type": "list", "id": 1} | {f"{each}": 0 for each in range(6000)}).encode(),
        b'{"type":"list","id":' + b"9" * 60000 + b"}",
    ]
    for text in texts * 20:
        attacker.say(_HELLO, encode_message(text), encode_message(b"{}"), then=_to_the_end)


def bad_text(attacker: Attacker) -> None:
    """What is no UTF-8, in a string, a key, and alone."""
    for text in (b'{"type":"attach","id":1,"domain":"\xff\xfe"}', b'{"\xc3(":1}', b"\xff" * 100, b'{"type":"\\ud800"}'):
        for _ in range(20):
            attacker.say(_HELLO, encode_message(text), then=_to_the_end)


# Clients that do not behave.


def floods_of_attaches(attacker: Attacker) -> None:
    """More requests than anybody needs, for what is there and what is not."""
    for names in ([attacker.console], [f"no-such-{each}" for each in range(100)], ["*", "", "\x1b[2J", "a" * 1024]):
        requests = b"".join(encode(Attach(each, attacker.chance.choice(names))) for each in range(1, 300))
        attacker.say(_HELLO, requests, then=_until(b'"id":299'))


def attach_and_detach(attacker: Attacker) -> None:
    """A place is had and given up, thousands of times, by several at once."""
    pair = attacker.attach() + encode(Detach(2, 1)) + encode(Flow(1, paused=True))
    _pour(attacker, 5, pair * 50, reads=True)


def _pour(attacker: Attacker, clients: int, said: bytes, *, reads: bool) -> None:
    """Several clients say this over and over, as fast as it is taken."""
    with ExitStack() as stack:
        several = [stack.enter_context(attacker.connect()) for _ in range(clients)]
        for made in several:
            made.sendall(_HELLO)
            made.setblocking(False)
        until = time.monotonic() + _SECONDS
        while time.monotonic() < until:
            heard, taking, _ = select.select(several if reads else [], several, [], _SECONDS)
            for made in taking:
                with suppress(OSError):
                    made.send(said)
            for made in heard:
                with suppress(OSError):
                    made.recv(1 << 20)


def thousands(attacker: Attacker) -> None:
    """As many connections as there can be; all at once."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ExitStack() as stack:
        for number in range(1500):
            made = stack.enter_context(attacker.connect())
            made.sendall(_HELLO + (attacker.attach() if number % 2 else b""))


def never_reading(attacker: Attacker) -> None:
    """Asks and asks, and takes no answer."""
    asked = encode(ListConsoles(1)) + encode(Watch(2)) + attacker.attach(3)
    _pour(attacker, 20, asked * 100, reads=False)


def looking_back(attacker: Attacker) -> None:
    """Asks for all that is stored, over and over, by several at once."""
    _pour(attacker, 4, encode(Histories(1)) * 10, reads=True)


def no_handshake(attacker: Attacker) -> None:
    """Connects, and says nothing, until the daemon has enough of it."""
    with ExitStack() as stack:
        several = [stack.enter_context(attacker.connect()) for _ in range(200)]
        for made in several:
            with suppress(OSError):
                _to_the_end(made)


def one_direction(attacker: Attacker) -> None:
    """Shuts one of the two down, at each moment."""
    for said in ([], [_HELLO], [_HELLO, attacker.attach()]):
        for how in (socket.SHUT_WR, socket.SHUT_RD):
            for _ in range(20):
                attacker.say(*said, then=partial(_shut, how))


def _shut(how: int, made: socket.socket) -> None:
    made.shutdown(how)
    made.sendall(_HELLO)


def descriptors_and_credentials(attacker: Attacker) -> None:
    """File descriptors and credentials come with the bytes, and in the midst of them."""
    with Path(os.devnull).open() as file:
        rights = socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("200i", *[file.fileno()] * 200)
        who = socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("3i", os.getpid(), os.getuid(), os.getgid())
        for _ in range(50):
            for ancillary in ([rights], [who], [rights, who]):
                attacker.say(then=partial(_say_with, ancillary))


def _say_with(ancillary: list[tuple[int, int, bytes]], made: socket.socket) -> None:
    made.sendmsg([_HELLO[:7]], ancillary)
    made.sendmsg([_HELLO[7:] + encode(ListConsoles(1))], ancillary)
    _until(b'"done"')(made)


def too_much_input(attacker: Attacker) -> None:
    """Input for what was never attached, and out of order."""
    piece = b"x" * MAX_INPUT
    wrongs: list[list[bytes]] = [
        [encode_input(1, 1, 7, piece)] * 20,
        [encode_input(1, 2**32 - 1, 0, piece)],
        [encode_input(2**32 - 1, 1, 0, piece)],
        [encode_input(1, 0, 2**63 - 1, piece)],
    ]
    for wrong in wrongs * 5:
        attacker.say(_HELLO, attacker.attach(), *wrong, then=_to_the_end)


def single_keys(attacker: Attacker) -> None:
    """A window full of keys that come one by one, for a guest that takes none."""
    with attacker.connect() as made:
        made.sendall(_HELLO + encode(Attach(1, attacker.paused)))
        place = _placed(made)
        for begin in range(0, INPUT_WINDOW, 1024):
            keys = range(begin, begin + 1024)
            made.sendall(b"".join(encode_input(place.console, place.attachment or 0, each, b"x") for each in keys))
        made.sendall(encode(ListConsoles(2)))
        _until(b'"done"')(made)  # all of it was taken


def _placed(made: socket.socket) -> ConsoleInfo:
    """The console of the place that comes next."""
    session = ClientSession()
    while True:
        for heard in session.receive(_heard(made)):
            if isinstance(heard, Place):
                return heard.info


def dying(attacker: Attacker) -> None:
    """Is gone in each state of the protocol: between any two bytes, and while it is answered."""
    stages: list[ClientMessage] = [Attach(1, attacker.console), Watch(2), ListConsoles(3), Detach(4, 1)]
    said = _HELLO + b"".join(map(encode, stages)) + encode_input(1, 1, 5, b"\0")
    for cut in range(0, len(said) + 1, 3):
        attacker.say(said[:cut])
    for word in (b'"hello"', b'"place"', b'"done"'):
        for _ in range(20):
            attacker.say(said, then=_until(word))


ATTACKS: dict[str, Callable[[Attacker], None]] = {
    each.__name__: each
    for each in (
        garbage,
        half_frames,
        byte_by_byte,
        four_gib,
        deep_json,
        bad_text,
        floods_of_attaches,
        attach_and_detach,
        thousands,
        never_reading,
        looking_back,
        no_handshake,
        one_direction,
        descriptors_and_credentials,
        too_much_input,
        single_keys,
        dying,
    )
}


def main() -> None:
    """Make one attack for a second at least, and say how many connections it made."""
    name, path, console, paused, seed = sys.argv[1:]
    attacker = Attacker(Path(path), console, paused, Random(int(seed)))
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        ATTACKS[name](attacker)
    print(attacker.made)


if __name__ == "__main__":
    main()
