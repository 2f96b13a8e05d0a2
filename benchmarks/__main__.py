"""Run the benchmarks: ``python -m benchmarks [NAME ...]``; the figures go to build/bench.json.

The exit code is 0 when all ran, whether or not their aims were met: timings are noisy, and an aim that is
missed is for a person to judge. A benchmark that could not run is a failure.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from benchmarks import cull_200, decide_10k, extension_cost, extension_load, hub_load, ingest_rate
from benchmarks.figures import Figure, machine, show, write

BENCHMARKS: dict[str, Callable[[], list[Figure]]] = {
    "cull_200": cull_200.run,
    "decide_10k": decide_10k.run,
    "hub_load": hub_load.run,
    "ingest_rate": ingest_rate.run,
    "extension_cost": extension_cost.run,
    "extension_load": extension_load.run,
}


def main() -> int:
    """Run what was asked for, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure what hubcull costs.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"), help="where the figures go")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in BENCHMARKS]:
        parser.error(f"no benchmark {unknown[0]!r}; there are: {', '.join(BENCHMARKS)}")
    where = machine()
    figures: list[Figure] = []
    failed: list[str] = []
    for name in given.names or BENCHMARKS:
        begun = time.monotonic()
        print(f"-- {name} ...", file=sys.stderr, flush=True)
        try:
            figures += BENCHMARKS[name]()
        except Exception:  # the others are still worth running
            traceback.print_exc()
            failed.append(name)
        print(f"-- {name}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    write(given.out, figures, where)
    show(figures, where)
    for name in failed:
        print(f"{name} could not run", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
