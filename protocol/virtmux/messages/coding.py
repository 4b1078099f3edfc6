"""Messages as frames, and back. Pure."""

import re
from typing import TypeVar

from msgspec import DecodeError
from msgspec.json import Decoder, Encoder

from virtmux.messages.from_client import ClientMessage
from virtmux.messages.from_daemon import DaemonMessage
from virtmux.wire import ProtocolError, encode_message

_MAX_ERROR_TEXT = 200
#: A word that msgspec does not know, and quotes.
_QUOTED = re.compile(r""" (['"]).*\1(?= - at )""", re.DOTALL)
_M = TypeVar("_M")
_encoder = Encoder()
_client_decoder: Decoder[ClientMessage] = Decoder(ClientMessage)
_daemon_decoder: Decoder[DaemonMessage] = Decoder(DaemonMessage)


def encode(message: ClientMessage | DaemonMessage) -> bytes:
    """The message as a whole frame.

    Raises:
        ValueError: it is larger than a frame may be.
    """
    return encode_message(_encoder.encode(message))


def decode_client_message(payload: bytes) -> ClientMessage:
    """Read a client's message.

    Raises:
        ProtocolError: it is not JSON, of no known type, or a field is missing or of the wrong kind. The text, which
            the daemon logs, repeats nothing of what was sent.
    """
    return _decode(_client_decoder, payload, quoting=False)


def decode_daemon_message(payload: bytes) -> DaemonMessage:
    """Read a message of the daemon.

    Raises:
        ProtocolError: as `decode_client_message`.
    """
    return _decode(_daemon_decoder, payload, quoting=True)


def _decode(decoder: Decoder[_M], payload: bytes, *, quoting: bool) -> _M:
    try:
        # Decoded first, because msgspec does not look into the strings of fields that it skips.
        return decoder.decode(payload.decode())
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        text = str(error) if quoting else _QUOTED.sub("", str(error))
        # What is quoted may have any length; the text must fit into a goodbye.
        raise ProtocolError(f"malformed message: {text[:_MAX_ERROR_TEXT]}") from error
