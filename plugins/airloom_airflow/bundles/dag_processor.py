"""What the DAG processor's own process is made ready with, once. The bundles call it before they refresh.

No task needs it, so the bundles load this module only there. Not here: what happens in the processes that the DAG
processor forks, one for each file (`pipeline_file`).
"""

from __future__ import annotations

import contextlib
import functools

from airflow.sdk import Asset

from airloom.errors import AirloomError
from airloom.settings import load_runtime
from airloom_airflow.bundles import pipeline_file as pipeline_file  # loaded for those who are forked from here
from airloom_airflow.bundles.signal_handlers import shorten_signal_handlers
from airloom_airflow.dag_factory.dag import find_stage_operator
from airloom_airflow.speedups.version_index import use_version_index


@functools.cache
def prepare_dag_processor() -> None:
    """Load here what builds DAGs, look up what Airflow knows of them by an index, and make forking cheap.

    Loaded in each file's process anew, it is a quarter of all that the DAG processor does for a file, and with Amazon's
    provider installed most of it: at the first asset Airflow loads what each provider says of assets' addresses.
    """
    use_version_index()
    shorten_signal_handlers()
    Asset("airloom://loads/the/providers")
    with contextlib.suppress(AirloomError, ImportError):  # each file's import error says so
        find_stage_operator(load_runtime())
