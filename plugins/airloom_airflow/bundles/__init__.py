"""Pipeline files as a DAG bundle: `pipelines` keeps one small DAG file per pipeline file, `stub` writes it,
`pipeline_file` is what that file calls.

Airflow's configuration names `airloom_airflow.bundles.PipelineDagBundle`. Not here: what a DAG looks like
(`dag_factory`).
"""

from airloom_airflow.bundles.pipelines import PipelineDagBundle

__all__ = ["PipelineDagBundle"]
