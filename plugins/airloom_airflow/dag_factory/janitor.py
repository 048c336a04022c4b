"""The one DAG that is of no pipeline: takes away pods that nobody waits for. Made where stages are pods."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airloom_airflow.operators.janitor import JanitorOperator

JANITOR_DAG_ID = "airloom__janitor"


def build_janitor_dag() -> DAG:
    """Every quarter of an hour."""
    dag = DAG(
        JANITOR_DAG_ID,
        description="Takes away pods of stages that nobody waits for any more.",
        schedule=timedelta(minutes=15),
        catchup=False,
        max_active_runs=1,
        tags={"airloom"},
    )
    JanitorOperator(task_id="clean", dag=dag, retries=1)
    return dag
