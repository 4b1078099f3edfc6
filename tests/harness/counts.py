"""How often the tests repeat what only repetition proves. `VIRTMUX_CHAOS=1`, as `make chaos` sets it, asks for all."""

import os
import secrets

CHAOS = os.environ.get("VIRTMUX_CHAOS", "") not in ("", "0")
#: `make soak-bytes` sets it.
SOAK = os.environ.get("VIRTMUX_SOAK", "") not in ("", "0")


def count(small: int, full: int) -> int:
    """`small` in `make test`, `full` in `make chaos`."""
    return full if CHAOS else small


def soak(small: int, full: int) -> int:
    """`small` in `make test` and `make chaos`, `full` in `make soak-bytes`."""
    return full if SOAK else small


def seed() -> int:
    """What chance is drawn from: `VIRTMUX_SEED`, else another each time. It is shown where the test fails."""
    chosen = int(os.environ.get("VIRTMUX_SEED") or secrets.randbits(32))
    print(f"VIRTMUX_SEED={chosen}")
    return chosen
