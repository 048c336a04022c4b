"""Operators: a stage as a process (`stage_subprocess`) or a pod (`stage_pod`), which stage it is (`stage_name`), what
it gets (`stage_context`), what it answers (`stage_result`), the links to its artifacts in the web UI
(`artifact_link`), and what of it is masked in its log (`stage_secrets` beside this package).

`dag_factory` builds them. DAG files written by hand import them from here, each loaded where it is used, together with
`load_stage` (`stage_from_file`). Not here: what a stage does (`airloom.stages`, in another environment).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airloom_airflow.operators.stage_from_file import load_stage
    from airloom_airflow.operators.stage_pod import StagePodOperator
    from airloom_airflow.operators.stage_subprocess import StageSubprocessOperator

__all__ = ["StagePodOperator", "StageSubprocessOperator", "load_stage"]

_MODULES = {
    "StagePodOperator": "stage_pod",  # with Kubernetes' libraries, which cost more than all the rest
    "StageSubprocessOperator": "stage_subprocess",
    "load_stage": "stage_from_file",
}


def __getattr__(name: str) -> Any:
    """What a DAG file imports, loaded where it is used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
