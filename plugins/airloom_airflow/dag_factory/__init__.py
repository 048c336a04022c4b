"""Pipelines become DAGs: `build_dag` of a family (`dag`), its `schedule`, its `documentation`. Pure: no clock, network,
Variable or Connection, so the same pipeline always serialises the same.

`bundles.pipeline_file` calls it. Which stages and assets a family has is not decided here but in `airloom.spec.plan`,
and what a run may be started with in `airloom.spec.parameters`. `executors` says which of Airflow's
executors a pipeline may name. Beside them is `janitor`, the one DAG of no pipeline.
"""

from airloom_airflow.dag_factory.dag import build_dag

__all__ = ["build_dag"]
