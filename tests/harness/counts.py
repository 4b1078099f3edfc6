"""How often the tests repeat what only repetition proves. `VIRTMUX_CHAOS=1`, as `make chaos` sets it, asks for all."""

import os

CHAOS = os.environ.get("VIRTMUX_CHAOS", "") not in ("", "0")


def count(small: int, full: int) -> int:
    """`small` in `make test`, `full` in `make chaos`."""
    return full if CHAOS else small
