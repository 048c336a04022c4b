"""A DAG written by hand around one stage of a pipeline and its drift sensor: an example, and what `test_own_dag` runs.

Somebody's own tasks come before and after; the run's conf is theirs, but for what the stage knows.
"""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import DAG, Asset, task

from airloom.spec import load_pipeline
from airloom_airflow.operators.stage_subprocess import StageSubprocessOperator
from airloom_airflow.sensors.drift import DriftSensor


def build_own_dag(path: Path, root: Path) -> DAG:
    """Watch a pipeline's model in a DAG of one's own.

    Args:
        path: the pipeline file.
        root: the folder of pipeline files, whose defaults count.
    """
    pipeline = load_pipeline(path, root)
    metadata = pipeline.metadata

    @task
    def announce() -> str:
        return "the model is looked at"

    with DAG(f"own_watch_of_{metadata.name}") as dag:
        monitor = StageSubprocessOperator(task_id="monitor", pipeline=pipeline, retries=1)
        drift = DriftSensor(
            task_id="drift",
            pipeline=pipeline,
            train_dag_id=f"{metadata.team}__{metadata.name}__train",
            asset=Asset(f"airloom://{metadata.team}/{metadata.name}/drift"),
            retries=1,
        )
        announce() >> monitor >> drift
    return dag
