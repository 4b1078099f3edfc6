"""What reads a guest's output and a person's input: the escape key, and everything that has to know sequences."""

from collections.abc import Iterator

from tests.fuzz.target import Cuts, Target
from virtmux.escapes import LINES, MAX_SEQUENCE, STRICT, Kind, Scanner, Unit
from virtmux.replay_cut import first_cut
from virtmux.sanitize import Sanitizer
from virtmux_cli.attach.escape import describe_escape, parse_escape, until_escape
from virtmux_cli.attach.guest_terminal import GuestTerminal
from virtmux_cli.attach.replayed import PastFilter, Shown

#: An introducer, a sequence of characters of four bytes each, and the beginning of what ends it.
_MOST_HELD = 4 * MAX_SEQUENCE + 2 * MAX_SEQUENCE


def escape_key(data: bytes) -> None:
    """What is typed before the key is input, however it comes; and nothing behind it is."""
    cuts = Cuts(data)
    name = f"^{chr(cuts.number(0x7F))}" if cuts.number(1) else chr(cuts.number(0xFF))
    try:
        escape = parse_escape(name)
    except ValueError as error:
        assert repr(name) in str(error)
        return
    assert escape is not None
    assert describe_escape(escape).isascii()
    typed, pieces = b"", list(cuts.pieces(8))
    for piece in pieces:
        before, found = until_escape(piece, escape)
        typed += before
        if found:
            break
    assert typed == b"".join(pieces).partition(escape)[0]


def units(data: bytes) -> None:
    """The units of a stream are its bytes, and the same ones however it is cut; what is held back is bounded."""
    cuts = Cuts(data)
    newline = (STRICT, LINES)[cuts.number(1)]
    pieces = list(cuts.pieces(8))
    stream = b"".join(pieces)
    whole, scanner = Scanner(newline), Scanner(newline)
    found = [unit for piece in pieces for unit in scanner.feed(piece)]
    assert _joined(found) == _joined(list(whole.feed(stream)))
    assert scanner.held == whole.held <= _MOST_HELD
    assert b"".join(unit.data for unit in found) + scanner.close() == stream
    assert 0 <= first_cut(stream, len(stream) // 2) <= len(stream)


def _joined(units_: list[Unit]) -> list[Unit]:
    """Text in one piece: a cut may divide it."""
    joined: list[Unit] = []
    for unit in units_:
        if joined and unit.kind is joined[-1].kind is Kind.TEXT:
            joined[-1] = Unit(Kind.TEXT, joined[-1].data + unit.data)
        else:
            joined.append(unit)
    return joined


def text(data: bytes) -> None:
    """What is shown as text cannot act on a terminal, and is the same however it comes."""
    cuts = Cuts(data)
    pieces = list(cuts.pieces(8))
    whole, cut = Sanitizer(), Sanitizer()
    shown = "".join(map(cut.feed, pieces)) + cut.close()
    assert shown == whole.feed(b"".join(pieces)) + whole.close()
    assert all(char.isprintable() or char in "\n\t" for char in shown)


def terminal(data: bytes) -> None:
    """The terminal of `attach` is written what the guest said, however that is cut, and is given back in the same way.
    Of what is replayed nothing is left that is asked."""
    pieces = list(Cuts(data).pieces(8))
    whole, guest, replay = GuestTerminal(), GuestTerminal(), PastFilter()
    stream = b"".join(pieces)
    assert b"".join(map(guest.feed, pieces)) == whole.feed(stream)
    for state in (GuestTerminal.undo, GuestTerminal.redo, GuestTerminal.go_on):
        assert state(guest) == state(whole)
    past = b"".join(replay.show(Shown(piece, replayed=True)) for piece in pieces)
    again, live = PastFilter(), Shown(b".", replayed=False)
    assert again.show(Shown(past, replayed=True)) + again.show(live) == past + live.data


def output() -> Iterator[bytes]:
    """Text, colours, titles, requests, and what is cut in its midst."""
    yield b"plain text\r\nand more\r\n"
    yield "\x1b[31mred\x1b[0m \u00e4\u20ac\U0001f600\r\n".encode()
    yield b"\x1b]0;title\x07\x1b]52;c;aGk=\x1b\\\x1b[6n\x1b[c\x1bP$qm\x1b\\\x05"
    yield b"\x1b[?1049h\x1b[2J\x1b[10;10Hhello\x1b[?25l\x1b(0\x0e"
    yield b"\x9b31m\x90q\x9c\xc2\x9b0m\xe2\x82"
    yield b"loading 10%\rloading 20%\r\n\x1b"


def keys() -> Iterator[bytes]:
    """What is typed, with ^] in it."""
    yield b"ls\r\x1d\x1d\x00\x01\x00\x00\x00"
    yield b"before ^] behind" + bytes([0x1D, 0, 1, 0])


TARGETS = (
    Target("escape-key", escape_key, keys),
    Target("units", units, output),
    Target("text", text, output),
    Target("terminal", terminal, output),
)
