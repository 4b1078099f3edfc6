"""Faults of every kind at once, injected for real, and an oracle outside the daemon judges what clients were told."""

from collections.abc import Callable
from pathlib import Path

from tests.harness.chaos.run import chaos
from tests.harness.counts import CHAOS_MINUTES, seed

SECONDS = 60 * CHAOS_MINUTES or 20.0


async def test_whatever_happens_clients_are_told_all_of_it_and_nothing_else(
    tmp_path: Path, progress: Callable[[str], None]
) -> None:
    figures = str(await chaos(tmp_path, seed(), SECONDS, progress))
    print(figures)
    progress(figures)
