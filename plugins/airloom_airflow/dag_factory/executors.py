"""Which executors this Airflow has, by its configuration, and where a pipeline names another. Pure but for that.

`bundles.pipeline_file` calls it while DAGs are built, and the doctor. Airflow refuses such a DAG too, but after its
file was loaded and without a place in it; and where one file has the DAGs of many pipelines, it starts none of them.
A task's process does not ask: a worker's configuration may name another executor than the scheduler's.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from airflow.configuration import conf

from airloom.spec.complaints import Complaint
from airloom.spec.document import shorten
from airloom.spec.orchestration import TaskOptions
from airloom.spec.pipeline import Pipeline

_CORE = {
    "LocalExecutor": "airflow.executors.local_executor.LocalExecutor",
    "CeleryExecutor": "airflow.providers.celery.executors.celery_executor.CeleryExecutor",
    "KubernetesExecutor": "airflow.providers.cncf.kubernetes.executors.kubernetes_executor.KubernetesExecutor",
}
"""Airflow's short names; source: its page "Executor", on which each is written either way."""


def list_bundles(*, ours: bool) -> list[Mapping[str, Any]]:
    """The DAG bundles in Airflow's configuration: those of pipeline files, or the others."""
    bundles: Any = conf.getjson("dag_processor", "dag_bundle_config_list") or []
    return [each for each in bundles if str(each.get("classpath", "")).startswith("airloom_airflow.") == ours]


def list_executors(*, bundled: bool) -> dict[str, str]:
    """Each name that a task's `executor` may have → the name by which it is shown.

    With Airflow's `multi_team`, a team's executors are its bundle's alone. Which bundle a DAG file belongs to Airflow
    does not say to it: a pipeline of our bundles may name what one of their teams has, and Airflow refuses that file
    alone if it is another; in a DAG file with many pipelines, only what every team has that it may be of.

    Args:
        bundled: DAGs come by bundles of pipeline files; False: by somebody's own DAG file.
    """
    multi_team = conf.getboolean("core", "multi_team", fallback=False)
    by_team = _parse(conf.get_mandatory_value("core", "executor"))
    names = dict(by_team.get("", {}))
    if multi_team:
        teams = [by_team.get(str(bundle.get("team_name") or ""), {}) for bundle in list_bundles(ours=bundled)]
        for name, shown in ((name, shown) for team in teams for name, shown in team.items()):
            if bundled or all(name in team for team in teams):
                names[name] = shown
    return names


def find_unknown_executors(pipeline: Pipeline, known: Mapping[str, str]) -> Iterator[Complaint]:
    """Where a pipeline names an executor that this Airflow has not.

    Args:
        known: see `list_executors`.
    """
    airflow = pipeline.spec.airflow
    options: dict[tuple[str, ...], TaskOptions] = {("default_args",): airflow.default_args}
    options |= {("tasks", task): each for task, each in airflow.tasks.items()}
    for place, each in options.items():
        if each.executor is not None and each.executor not in known:
            message = (
                f"given {shorten(each.executor)}, which this Airflow has not; it has {_join(known.values())}: name one "
                "of these, or add yours to AIRFLOW__CORE__EXECUTOR ([core] executor)"
            )
            yield Complaint(("spec", "airflow", *place, "executor"), message, False)


def _join(names: Collection[str]) -> str:
    return ", ".join(dict.fromkeys(names))


@functools.cache
def _parse(configured: str) -> dict[str, dict[str, str]]:
    """Team, empty for all → each name of each of its executors → the name by which it is shown.

    `a,alias:b;team=c,alias:d`: Airflow's page "Executor", "Using Multiple Executors Concurrently".
    """
    found: dict[str, dict[str, str]] = {}
    for part in configured.split(";"):
        team, _, names = part.rpartition("=")
        for entry in filter(None, (name.strip() for name in names.split(","))):
            alias, _, path = entry.rpartition(":")
            path = _CORE.get(path, path)
            short = path.rpartition(".")[2]
            found.setdefault(team.strip(), {}).update(dict.fromkeys(filter(None, (alias, path, short)), alias or short))
    return found
