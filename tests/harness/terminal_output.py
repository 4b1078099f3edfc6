"""Terminal output for tests, made of pieces of which each is whole: between them the stream is between characters."""

from hypothesis import strategies as st

_INTRODUCERS = {"]": "\x9d", "P": "\x90", "X": "\x98", "^": "\x9e", "_": "\x9f"}

TEXT = st.text(
    st.one_of(
        st.characters(min_codepoint=0xA0, max_codepoint=0xD7FF),
        st.characters(min_codepoint=0xE000),
        st.sampled_from("\n\n\r\t\x00\x07\x08\x18\x1a\x7fab é客😀"),
    ),
    min_size=1,
    max_size=12,
).map(str.encode)


@st.composite
def control_sequences(draw: st.DrawFn) -> bytes:
    """CSI, with a control character in its midst here and there."""
    csi = draw(st.sampled_from([b"\x1b[", b"\xc2\x9b", b"\x9b"]))
    inner = draw(st.lists(st.sampled_from([b"?", b"3", b";", b"1", b" ", b"\n", b"\x07", b"\x00"]), max_size=6))
    return csi + b"".join(inner) + draw(st.sampled_from([b"m", b"H", b"@", b"~", b"\x18", b"\x1a"]))


@st.composite
def strings(draw: st.DrawFn) -> bytes:
    """OSC, DCS, SOS, PM or APC, to their end."""
    final, c1 = draw(st.sampled_from(sorted(_INTRODUCERS.items())))
    introducer = draw(st.sampled_from([b"\x1b" + final.encode(), c1.encode(), c1.encode("latin-1")]))
    inner = st.sampled_from(["0;", "title", "é", "客", "✜", "\t", "\r", "😛", "\n"])
    end = draw(st.sampled_from([b"\x07", b"\x1b\\", b"\xc2\x9c", b"\x9c", b"\x18", b"\x1a"]))
    return introducer + "".join(draw(st.lists(inner, max_size=6))).encode() + end


ESCAPES = st.sampled_from([b"\x1b7", b"\x1bc", b"\x1b(B", b"\x1b#8", b"\x1b%G", b"\x1b\n7", b"\x1b\x18", b"\x1b \x1a"])
C1 = st.sampled_from([b"\x85", b"\xc2\x85", b"\x9c", b"\xc2\x84"])
INVALID = st.sampled_from([b"\xff", b"\xc0", b"\xf8", b"\xa0", b"\xbf"])
SEQUENCES = st.one_of(control_sequences(), strings(), ESCAPES)
PIECES = st.lists(st.one_of(TEXT, TEXT, SEQUENCES, C1, INVALID), max_size=12)
ANYTHING = st.one_of(PIECES.map(b"".join), st.binary(max_size=40))


@st.composite
def split(draw: st.DrawFn, output: st.SearchStrategy[bytes] = ANYTHING) -> tuple[bytes, list[bytes]]:
    """Some output, and the same in pieces that were cut anywhere."""
    data = draw(output)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    return data, [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
