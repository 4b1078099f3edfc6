"""All benchmarks, one after the other, or those that are named: `make bench`, or `python3 -m tests.bench [NAME...]`.

Each prints its table and how its targets stand, and keeps both in `tests/bench/results`, some with a plot.
"""

import subprocess
import sys
import time
from collections.abc import Sequence

from tests.bench.tables import RESULTS

#: In this order; each is a module here.
BENCHMARKS = ("throughput", "journal", "echo", "fairness", "rate", "clients", "arrival", "consoles", "start")


def main(names: Sequence[str]) -> None:
    """Run them; exits with 1 if one failed, with 2 if a name is unknown."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        sys.exit(2)
    began = time.monotonic()
    failed, missed = [], []
    for name in names or BENCHMARKS:
        print(f"{name} ...", flush=True)
        started = time.monotonic()
        if subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=False).returncode:
            failed.append(name)
            continue
        print(f"  took {time.monotonic() - started:.0f} s", flush=True)
        kept = (RESULTS / f"{name}.txt").read_text().splitlines()
        missed += [f"{name}: {line}" for line in kept if line.startswith("MISSED")]
    print(f"all took {time.monotonic() - began:.0f} s; tables and plots are in {RESULTS}")
    print(f"{len(missed)} targets are missed" if missed else "no target is missed")
    for line in missed:
        print(f"  {line}")
    if failed:
        print(f"not run to the end: {', '.join(failed)}")
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
