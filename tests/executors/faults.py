"""What is asked after a fault, in every combination: was each task run to its end once, was a model registered once."""

from __future__ import annotations

import httpx
from tests.executors.installation import Installation, Run

HELD = "ops__held__train"


def require_once(run: Run, name: str) -> None:
    """Each task of a run of a DAG by hand began once and ended once."""
    installation = run.installation
    for task_id in run.tasks:
        times = [len(installation.read(f"{name}.{task_id}.{what}")) for what in ("begun", "ended")]
        assert times == [1, 1], f"{run.dag_id}.{task_id} began and ended {times} times"


def start_training(installation: Installation, dag_id: str = HELD) -> tuple[Run, str]:
    """Start the training of the held pipeline, or of one like it; gives the part in which it waits, when it does."""
    before = len(installation.read("training.begun"))
    installation.hold("training")
    run = installation.trigger(dag_id)
    return run, wait_for_training(installation, before)


def wait_for_training(installation: Installation, before: int, seconds: float = 120) -> str:
    """Wait until a training has begun that many have come before; gives its part."""
    begun: list[str] = []

    def has_begun() -> bool:
        begun[:] = installation.read("training.begun")
        return len(begun) > before

    installation.wait(has_begun, "the training begins", seconds)
    return begun[-1]


def count_versions(installation: Installation) -> int:
    """Registered versions of the held pipeline's model."""
    mlflow = installation.shared.addresses.mlflow
    asked = {"filter": "name='ops.held'"}
    answer = httpx.get(f"{mlflow}/api/2.0/mlflow/model-versions/search", params=asked, timeout=30)
    answer.raise_for_status()
    return len(answer.json().get("model_versions", ()))


def has_database(installation: Installation) -> bool:
    """Whether Airflow says so."""
    health = httpx.get(f"{installation.address}/api/v2/monitor/health", timeout=30, trust_env=False).json()
    return bool(health["metadatabase"]["status"] == "healthy")
