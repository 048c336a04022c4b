"""Airflow's own database, for those of its processes that have it: the DAG processor, and `airloom doctor`.

Airflow's public interface keeps tasks and DAG files from the database, and has no name for what its other processes
read there. A bundle must know which file's DAGs were there first, and the doctor whether the schema is current, and
whether connections and variables are there that tasks will ask for.
"""

import os

from airflow.models.dag import DagModel as DagModel
from airflow.models.dagbundle import DagBundleModel as DagBundleModel
from airflow.models.pool import Pool as Pool
from airflow.utils.db import check_migrations as check_migrations
from airflow.utils.session import create_session as create_session


def look_into_database() -> None:
    """Have connections and variables looked for in the database too, in this process and from now on.

    A task asks Airflow's API server for them, and a program beside Airflow gets those of the environment and of the
    secrets backend alone; Airflow's own commands (`airflow connections`) say by this variable that they are more.
    """
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
