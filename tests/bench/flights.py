"""The flight pipeline with its eight stages as pods, beside the same pipeline embedded, in one run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from tests.bench.figures import SPEEDUPS_OFF, Figure, build_without
from tests.bench.runs import build_variables, run_pipeline, write_pipelines
from tests.cluster.demo import prepare
from tests.cluster.local.cluster import LocalCluster

from airloom.embedded.runtime import Runtime
from airloom.settings import load_settings

_STATE = Path(__file__).parents[2] / "build" / "bench-cluster"


def measure_flights() -> Iterator[Figure]:
    """Embedded, each stage a pod, and all in one pod, both also without speedups; each the second of two runs."""
    cluster = LocalCluster(_STATE)
    cluster.down()
    with tempfile.TemporaryDirectory(prefix="airloom-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # pods look into it
        write_pipelines(folder)
        separate = folder / "pipelines" / "ops" / "flight_delay.yaml"
        text = separate.read_text().replace("name: flight_delay\n", "name: flight_delay_fused\n")
        separate.with_stem("flight_delay_fused").write_text(text.replace("spec:\n", "spec:\n  execution: fused\n", 1))
        with patch.dict(os.environ, build_variables(folder)):
            [embedded] = _time("flight_delay")
        try:
            cluster.up()
            with patch.dict(os.environ, {**build_variables(folder), **prepare(cluster, folder)}):
                pods, fused = _time("flight_delay", "flight_delay_fused")
                with patch.dict(os.environ, SPEEDUPS_OFF):
                    slower_pods, slower_fused = _time("flight_delay", "flight_delay_fused")
        finally:
            cluster.down()
    yield Figure("flight pipeline, stages as pods", pods, "s", "embedded", embedded, None)
    yield Figure("flight pipeline, fused in one pod", fused, "s", "embedded", embedded, None)
    yield build_without("flight pipeline, stages as pods", slower_pods, pods)
    yield build_without("flight pipeline, fused in one pod", slower_fused, fused)


def _time(*pipelines: str) -> list[float]:
    """Seconds of a training of each, after one that warms up, in an installation by this process's environment."""
    settings = load_settings()
    with Runtime(settings) as runtime:
        api = runtime.api()
        for pipeline in pipelines:
            api.wait_for_dag(f"ops__{pipeline}__train", 120)
        return [[run_pipeline(api, settings, "ops", pipeline).seconds for _ in range(2)][-1] for pipeline in pipelines]
