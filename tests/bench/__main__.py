"""`python -m tests.bench`: every figure that Airloom promises, each beside a peer or a limit, in one run.

Writes `build/bench.json`. A missed figure is told, and is no failure; a measurement that breaks is one. Named
measurements are taken alone, and their figures take the place of what the file had of them: `python -m tests.bench
large` takes 5,000 pipelines through Airflow's DAG processor.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console
from tests.bench.cluster import measure_cluster
from tests.bench.cold_pod import measure_cold_pod
from tests.bench.figures import Figure, print_figures, write_figures
from tests.bench.flights import measure_flights
from tests.bench.parse import measure_fresh_disk, measure_parse, measure_reparse
from tests.bench.processor import measure_processor
from tests.bench.processor_on_postgres import measure_large
from tests.bench.runs import measure_runs
from tests.bench.scale import measure_scale
from tests.bench.setup_and_demo import measure_setup_and_demo
from tests.bench.triggerers import measure_triggerers

_MEASUREMENTS: dict[str, Callable[[], Iterable[Figure]]] = {
    "parse": measure_parse,
    "reparse": measure_reparse,
    "fresh": measure_fresh_disk,
    "processor": measure_processor,
    "runs": measure_runs,
    "demo": measure_setup_and_demo,
}
_BY_NAME_ONLY: dict[str, Callable[[], Iterable[Figure]]] = {
    "large": measure_large,
    "cluster": measure_cluster,
    "cold": measure_cold_pod,
    "flights": measure_flights,
    "scale": measure_scale,
    "triggerers": measure_triggerers,
}


def main(names: list[str]) -> int:
    """Measure; 1 where a measurement broke, 2 where there is none of that name."""
    known = {**_MEASUREMENTS, **_BY_NAME_ONLY}
    if unknown := [name for name in names if name not in known]:
        print(f"there is no measurement {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    console = Console(width=130, highlight=False)
    figures: dict[str, list[Figure]] = {}
    broken = []
    for name in names or _MEASUREMENTS:
        started = time.monotonic()
        try:
            for figure in known[name]():
                figures.setdefault(name, []).append(figure)
        except Exception:
            traceback.print_exc()
            broken.append(name)
        console.print(f"{name}: {time.monotonic() - started:.0f} s")
    print_figures(console, (figure for found in figures.values() for figure in found))
    write_figures(Path("build") / "bench.json", figures)
    if broken:
        console.print(f"broken: {', '.join(broken)}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
