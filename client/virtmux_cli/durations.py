"""Lengths of time, as people write them. Pure."""

import math
import re

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = r"(\d+(?:\.\d+)?)([smhd])"


def parse_duration(text: str) -> float:
    """Seconds from a number, alone or with units: 90, 5m, 2h, 1h30m; `forever` is infinite.

    Raises:
        ValueError: it is none of them.
    """
    if text == "forever":
        return math.inf
    if re.fullmatch(r"\d+(?:\.\d+)?", text, re.ASCII):
        return float(text)
    if re.fullmatch(f"(?:{_PART})+", text, re.ASCII):
        return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text))
    raise ValueError(f"not a duration: {text!r} (expected for example 90, 5m, 2h or 1h30m)")
