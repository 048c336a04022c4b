"""Airloom's stages in a DAG of one's own: a task that prepares rows, then two stages of a pipeline file."""

from __future__ import annotations

import os

from airflow.sdk import DAG, task

from airloom_airflow.operators import StageSubprocessOperator, load_stage

PIPELINE = os.environ["EXAMPLE_PIPELINE"]  # such as /pipelines/ops/churn.yaml

with DAG("rows_then_ingest", schedule=None):

    @task
    def prepare_rows() -> None:
        """Whatever makes the pipeline's source ready."""

    ingest = StageSubprocessOperator(**load_stage(PIPELINE, "ingest"), retries=2)
    validate = StageSubprocessOperator(**load_stage(PIPELINE, "validate"))
    prepare_rows() >> ingest >> validate
