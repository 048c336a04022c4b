"""Airloom's stages in a task group, and under ids of one's own."""

from __future__ import annotations

import os

from airflow.sdk import DAG, TaskGroup

from airloom_airflow.operators import StageSubprocessOperator, load_stage

PIPELINE = os.environ["EXAMPLE_PIPELINE"]  # such as /pipelines/ops/churn.yaml

with DAG("grouped_stages", schedule=None):
    with TaskGroup("data") as data:
        StageSubprocessOperator(**load_stage(PIPELINE, "ingest")) >> StageSubprocessOperator(
            task_id="check_rows", **load_stage(PIPELINE, "validate")
        )
    data >> StageSubprocessOperator(task_id="data_to_features", **load_stage(PIPELINE, "features"), retries=2)
