"""Which stage a task runs: by its argument or its id, and by neither a clear refusal before anything starts."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.unit.airloom_airflow.pipelines import MINIMAL, write_pipeline

from airloom.errors import ConfigError
from airloom.spec import load_pipeline
from airloom_airflow.operators import StageSubprocessOperator
from airloom_airflow.operators.stage_name import find_stage, list_task_ids
from airloom_airflow.operators.stage_pod import StagePodOperator


@pytest.mark.parametrize(
    ("stage", "task_id"), [("ingest", None), ("ingest", "read_rows"), (None, "ingest"), (None, "group.ingest")]
)
def test_a_stage_is_found_by_its_argument_or_its_tasks_id(stage, task_id):
    assert find_stage(stage, task_id) == "ingest"


@pytest.mark.parametrize("operator", [StageSubprocessOperator, StagePodOperator])
def test_an_operator_without_a_known_stage_is_refused_while_the_dag_is_parsed(pipelines, operator):
    pipeline = load_pipeline(write_pipeline(pipelines, "small", text=MINIMAL))
    with pytest.raises(ConfigError, match=r"the stage 'read_rows', and there is none.*stage='ingest'"):
        operator(task_id="read_rows", pipeline=pipeline)


def test_tasks_of_one_pod_lie_in_one_task_group():
    assert list_task_ids("a.b.ingest", ("ingest", "train")) == ("a.b.ingest", "a.b.train")
    assert list_task_ids("of_its_own", ("ingest",)) == ("of_its_own",)


def test_the_packages_that_dag_files_import_from_load_what_is_used_alone():
    """Kubernetes' libraries cost more than all else that a DAG file of stages as processes imports."""
    program = """
import sys
import airloom_airflow.operators, airloom_airflow.sensors
assert "airflow" not in sys.modules
from airloom_airflow.operators import StageSubprocessOperator
from airloom_airflow.sensors import DriftSensor
assert "kubernetes" not in sys.modules
from airloom_airflow.operators import StagePodOperator, load_stage
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
