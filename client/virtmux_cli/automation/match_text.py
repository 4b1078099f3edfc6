"""How a match is printed: for a person, and as a line of JSON."""

import base64
import os
from collections.abc import Callable

from virtmux.reading import Match
from virtmux.sanitize import Sanitizer
from virtmux_cli.text import json_line

_STDOUT = 1


def match_line(match: Match, redact: Callable[[bytes], bytes]) -> bytes:
    """What matched, as the guest said it, but for a terminal; a newline behind it."""
    data = redact(match.match[0])
    if os.isatty(_STDOUT):
        sanitizer = Sanitizer()
        data = (sanitizer.feed(data) + sanitizer.close()).encode()
    return data if data.endswith(b"\n") else data + b"\n"


def match_json(match: Match, redact: Callable[[bytes], bytes], **facts: object) -> bytes:
    """The match as one line of JSON; text that is no UTF-8 is an object, `base64`."""
    groups = [None if group is None else _text(redact(group)) for group in match.match.groups()]
    return json_line(
        {
            "type": "match",
            **facts,
            "index": match.index,
            "text": _text(redact(match.match[0])),
            "groups": groups,
            "position": str(match.position),
        }
    )


def _text(data: bytes) -> str | dict[str, str]:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}
