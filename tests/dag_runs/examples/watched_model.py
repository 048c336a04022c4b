"""A model is watched in a DAG of one's own: the pipeline's monitor, and the sensor that asks for a retraining."""

from __future__ import annotations

import os

from airflow.sdk import DAG, Asset, task

from airloom_airflow.operators import StageSubprocessOperator, load_stage
from airloom_airflow.sensors import DriftSensor

PIPELINE = os.environ["EXAMPLE_PIPELINE"]  # such as /pipelines/ops/churn.yaml

with DAG("watched_model", schedule="@hourly"):

    @task
    def announce() -> str:
        return "the model is looked at"

    stage = load_stage(PIPELINE, "monitor")
    team, name = stage["pipeline"].metadata.team, stage["pipeline"].metadata.name
    monitor = StageSubprocessOperator(**stage, retries=1)
    drift = DriftSensor(
        task_id="drift",
        pipeline=stage["pipeline"],
        train_dag_id=f"{team}__{name}__train",
        asset=Asset(f"airloom://{team}/{name}/drift"),
        retries=1,
    )
    announce() >> monitor >> drift
