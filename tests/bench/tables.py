"""What a benchmark has found: shown, and kept beside the benchmarks."""

import re
from pathlib import Path

RESULTS = Path(__file__).with_name("results")


def keep(name: str, table: str) -> None:
    """Print the table of the benchmark with this name, and keep it."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.txt").write_text(table)
    print(re.sub(r"^", "  ", table, flags=re.MULTILINE).rstrip())
