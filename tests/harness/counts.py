"""How often tests repeat what only repetition proves, how much they send, and for how long: the environment says so."""

import os
import secrets
from collections.abc import Iterator
from itertools import count as numbers

#: `make repeat` sets it.
REPEAT = os.environ.get("VIRTMUX_REPEAT", "") not in ("", "0")
#: `make soak-bytes` sets it.
SOAK_BYTES = os.environ.get("VIRTMUX_SOAK_BYTES", "") not in ("", "0")
#: `make chaos` sets how long it lasts.
CHAOS_MINUTES = float(os.environ.get("VIRTMUX_CHAOS_MINUTES") or 0)
#: Whether somebody waits for one of these.
IS_LONG = REPEAT or SOAK_BYTES or CHAOS_MINUTES > 0


def count(small: int, full: int) -> int:
    """`small` in `make test`, `full` in `make repeat`."""
    return full if REPEAT else small


def amount(small: int, full: int) -> int:
    """`small` in `make test` and `make repeat`, `full` in `make soak-bytes`."""
    return full if SOAK_BYTES else small


def seed() -> int:
    """What chance is drawn from: `VIRTMUX_SEED`, else another each time. It is shown where the test fails."""
    chosen = int(os.environ.get("VIRTMUX_SEED") or secrets.randbits(32))
    print(f"VIRTMUX_SEED={chosen}")
    return chosen


def samples(step: int) -> Iterator[int]:
    """The numbers from 0: all in `make repeat`, else every `step`th, from where chance says."""
    return numbers() if REPEAT else numbers(seed() % step, step)
