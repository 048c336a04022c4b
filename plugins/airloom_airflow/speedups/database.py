"""Airflow's own database, for those of its processes that have it: the DAG processor, and `airloom doctor`.

Airflow's public interface keeps tasks and DAG files from the database, and has no name for what its other processes
read there. A bundle must know which file's DAGs were there first, and the doctor whether the schema is current.
"""

from airflow.models.dag import DagModel as DagModel
from airflow.models.pool import Pool as Pool
from airflow.utils.db import check_migrations as check_migrations
from airflow.utils.session import create_session as create_session
