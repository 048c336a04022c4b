"""How pipeline files reach Airflow: DAG bundles (`pipelines` of a folder or a bucket, `git` of a repository), and
`loader` for where there are none.

Airflow's configuration names `airloom_airflow.bundles.PipelineDagBundle` or
`airloom_airflow.bundles.git.GitPipelineDagBundle`; a DAG file may call `load_pipelines`. `dag_files` keeps one small
DAG file for each pipeline file, `stub` is its text, `pipeline_file` what it calls, `claims` which file has which
pipeline, `records` what Airflow's database knows of that, `bucket` a copy of a bucket's files. Not here: what a DAG
looks like (`dag_factory`).
"""

from typing import TYPE_CHECKING, Any

from airloom_airflow.bundles.pipelines import PipelineDagBundle

if TYPE_CHECKING:
    from airloom_airflow.bundles.loader import load_pipelines

__all__ = ["PipelineDagBundle", "load_pipelines"]


def __getattr__(name: str) -> Any:
    """`load_pipelines`, loaded where it is used: a task with a bundle pays for the DAG factory only in its DAG file."""
    if name != "load_pipelines":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from airloom_airflow.bundles.loader import load_pipelines

    return load_pipelines
