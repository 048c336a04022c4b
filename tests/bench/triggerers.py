"""Two thousand stages wait in two real triggerers on Postgres; one is killed. What is lost, and what it takes.

The pods are kwok's, and print; their task instances lie in Airflow's database as operators that deferred left them. No
scheduler runs, so each stays as its trigger hands it over.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.scale import LINES, PODS, enough_watchers, start_nodes
from tests.cluster.installation import NAMESPACE, ROOT, prepare_cluster
from tests.cluster.local.cluster import LocalCluster
from tests.executors.airflow_parts import Part
from tests.executors.servers import Postgres
from tests.waiting import wait_until

from airloom.embedded import processes
from airloom.embedded.airflow_environment import build_airflow_environ, prepare_airflow
from airloom.telemetry import SWITCHES

_PROGRAMS = ROOT / ".venv" / "executors" / "bin"
_RUNNING_SECONDS = 240.0
"""Longer than it takes to make all pods, and to have them waited for."""
_DAG_FILE = """\
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator

with DAG("many", schedule=None):
    EmptyOperator(task_id="train")
"""
_GOOD = "(state = 'scheduled' AND next_kwargs::text LIKE '%answer%')"
_OTHERS = f"""\
SELECT string_agg(kind, E'\\n') FROM (
    SELECT concat_ws(' ', count(*), state, next_method, min(next_kwargs::text)) kind
    FROM task_instance WHERE NOT {_GOOD} GROUP BY state, next_method
) kinds
"""
_SETTLED = 150
"""Looks in a row."""
_BLOCKED = re.compile(r"async thread was blocked for ([0-9.]+) seconds")


def measure_triggerers() -> Iterator[Figure]:
    """Lost and doubled hand-overs, whole logs, memory, and how long the event loop was blocked, as Airflow says it."""
    cluster = LocalCluster(ROOT / "build" / "bench-cluster")
    cluster.down()
    with tempfile.TemporaryDirectory(prefix="airloom-bench-") as name, Postgres() as postgres:
        try:
            cluster.up(nodes=1)
            kubeconfig = prepare_cluster(cluster)
            start_nodes(cluster, _RUNNING_SECONDS)
            with enough_watchers():
                yield from _measure(Path(name), postgres, kubeconfig)
        finally:
            cluster.down()


def _measure(folder: Path, postgres: Postgres, kubeconfig: Path) -> Iterator[Figure]:
    environs = {part: _build_environ(folder / part, postgres) for part in ("triggerer-1", "triggerer-2")}
    environ = environs["triggerer-1"]
    (folder / "dags").mkdir()
    (folder / "dags" / "many.py").write_text(_DAG_FILE)
    subprocess.run([_PROGRAMS / "airflow", "db", "migrate"], env=environ, check=True, capture_output=True)
    seed = [_PROGRAMS / "python", "-m", "tests.bench.seed_program", folder / "dags", kubeconfig, NAMESPACE, str(PODS)]
    parts = {name: Part(name, folder / name, _PROGRAMS, environs[name]) for name in environs}
    survivor = parts["triggerer-2"]
    try:
        for part in parts.values():
            part.start()
        running = "SELECT count(*) FROM job WHERE job_type = 'TriggererJob' AND state = 'running'"
        wait_until(lambda: _ask(postgres, running, *parts.values()) == len(parts), "both triggerers run", 60)
        idle = _settle(survivor)
        started = time.monotonic()
        subprocess.run(seed, env=environ, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        wait_until(
            lambda: _ask(postgres, "SELECT count(*) FROM trigger WHERE triggerer_id IS NULL") == 0, "all are taken", 180
        )
        shares = _ask(postgres, "SELECT min(n) FROM (SELECT count(*) n FROM trigger GROUP BY triggerer_id) shares")
        parts["triggerer-1"].die()
        waiting = "SELECT count(*) FROM task_instance WHERE state = 'deferred'"
        wait_until(lambda: _ask(postgres, waiting, survivor) == 0, "all are handed over", 600)
        seconds = time.monotonic() - started
        peak = _read_largest(survivor)
        survivor.stop()
    finally:
        for part in parts.values():
            part.die()
    good = _ask(postgres, f"SELECT count(*) FROM task_instance WHERE {_GOOD}")
    blocked = [float(found) for found in _BLOCKED.findall(survivor.log.read_text(errors="replace"))]
    if good != PODS:
        print(f"the others were handed over as: {postgres.ask(_OTHERS)}")
    yield Figure("stages of 2,000 that two triggerers lost, one killed", PODS - good, "", "none", 1, 0)
    yield Figure("the smaller share of the two", shares, "triggers", "half", PODS / 2, None)
    yield Figure("logs of 2,000 that lack a line or have one twice", _count_faulty_logs(folder), "", "none", 1, 0)
    yield Figure("memory of an idle triggerer", idle / 1e6, "MB", "after 2,000 pods", peak / 1e6, None)
    yield Figure("memory of the triggerer that took all, a pod", (peak - idle) / PODS / 1e3, "kB", "limit", 250, 1)
    yield Figure("its event loop, blocked the longest", max(blocked, default=0.0), "s", "limit", 5, 1)
    yield Figure(f"2,000 pods of {_RUNNING_SECONDS:g} s, in all", seconds, "s", "limit", 600, 1)


def _build_environ(folder: Path, postgres: Postgres) -> Mapping[str, str]:
    home = folder / "airflow"
    home.mkdir(parents=True)
    first = folder.with_name("triggerer-1") / "airflow" / "secrets.json"
    if home != first.parent:
        shutil.copy(first, home)  # what one encrypts, all read
    prepare_airflow(home)
    bundles = [{"name": "bench", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
                "kwargs": {"path": str(folder.parent / "dags"), "refresh_interval": 300}}]  # fmt: skip
    return {
        **os.environ,
        **SWITCHES,
        **build_airflow_environ(home, 1, None),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres.url,
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
        "AIRFLOW__TRIGGERER__CAPACITY": str(PODS),
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
        "AIRLOOM_HOME": str(folder),
    }


def _ask(postgres: Postgres, query: str, *parts: Part) -> int:
    """The number that a query gives, while these parts run."""
    for part in parts:
        assert not part.has_ended, part.tail()
    return int(postgres.ask(query) or 0)


def _settle(part: Part) -> int:
    """What its largest process holds when it has loaded all that it needs without work."""
    peaks = [0]

    def is_settled() -> bool:
        peaks.append(_read_largest(part))
        return len(peaks) > _SETTLED and peaks[-1] == peaks[-_SETTLED]

    wait_until(is_settled, f"{part.name} has loaded", 60)
    return peaks[-1]


def _read_largest(part: Part) -> int:
    """Bytes that the largest process of a part has held at most."""
    return max(_read_peak(pid) for pid in processes.descendants(part.pid))


def _read_peak(pid: int) -> int:
    """Bytes that a process has held at most."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _count_faulty_logs(folder: Path) -> int:
    """Stages whose lines are not each there exactly once, over the logs of both triggerers. What both logged, with the
    same time, counts once: Airflow, which merges the two, drops the second where it follows the first."""
    lines: dict[str, set[tuple[str, str]]] = {}
    for path in folder.glob("triggerer-*/logs/**/*.trigger.*.log"):
        found = lines.setdefault(str(path.relative_to(folder).parent).partition("/")[2], set())
        for line in map(json.loads, path.read_text().splitlines()):
            found.add((line["timestamp"], line["event"]))
    wanted = sorted(LINES)
    kept = [sorted(line for _, line in each if line.startswith("line ")) for each in lines.values()]
    whole = sum(each == wanted for each in kept)
    print(f"logs: {whole} whole, {sum(len(each) > len(wanted) for each in kept)} with lines twice, {len(kept)} in all")
    return PODS - whole
