"""Airloom's stages as pods, whatever the installation's runtime is. The cluster file's profiles say how they look."""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG

from airloom_airflow.operators import StagePodOperator, load_stage

PIPELINE = os.environ["EXAMPLE_PIPELINE"]  # such as /pipelines/ops/churn.yaml

with DAG("stages_as_pods", schedule=None):
    ingest = StagePodOperator(**load_stage(PIPELINE, "ingest"), retries=2)
    train = StagePodOperator(**load_stage(PIPELINE, "train"), execution_timeout=timedelta(hours=6), retries=2)
    ingest >> train
