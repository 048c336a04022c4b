"""The one DAG that is of no pipeline: takes away pods that nobody waits for. Made where stages are pods."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from airloom_airflow.operators.janitor import YOUNG_MINUTES, JanitorOperator

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
        params={
            "older_than_minutes": Param(
                YOUNG_MINUTES,
                type="number",
                minimum=0,
                description="Leave younger pods: the state of their tasks may be about to change.",
            )
        },
    )
    JanitorOperator(task_id="clean", dag=dag, retries=1, execution_timeout=timedelta(minutes=10))
    return dag
