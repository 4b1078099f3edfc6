"""Frames, whichever they are."""

from virtmux.wire import Frame, Input, Message, Output, encode_input, encode_message, encode_output


def encoded(frame: Frame) -> bytes:
    """The bytes that it stands for."""
    match frame:
        case Message():
            return encode_message(frame.payload)
        case Output():
            return encode_output(*frame)
        case Input():
            return encode_input(*frame)
