"""The executor's workers are forked from a process that has loaded what their tasks need."""

from __future__ import annotations

import subprocess
import sys

import pytest

from airloom_airflow.speedups import executor, switch

pytestmark = pytest.mark.skipif(
    switch.version("apache-airflow-core") not in executor.TESTED, reason="off on this Airflow"
)
START = """
import sys
from airflow.executors import local_executor

NAME = "airflow.dag_processing.dagbag"
local_executor.LocalExecutor.start = lambda self: print("at the start", NAME in sys.modules)
from airloom_airflow.speedups.executor import LocalExecutor

print("before", NAME in sys.modules)
LocalExecutor(parallelism=1).start()
"""


def test_the_reader_of_dag_files_is_loaded_before_there_are_workers() -> None:
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["before False", "at the start True"]
