"""What pipeline files ask of Airflow itself: pools, executors and secrets that it must have."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from airloom.diagnosis import Diagnosis, right, unchecked, wrong
from airloom.errors import AirloomError, ConfigError, SpecError
from airloom.settings import Settings
from airloom.spec import Pipeline, find_pipeline_files, load_pipeline
from airloom.spec.cluster import load_cluster
from airloom.spec.loader import place_complaints
from airloom_airflow.dag_factory.executors import find_unknown_executors, list_executors
from airloom_airflow.doctor.folders import find_folders
from airloom_airflow.stage_secrets import load_secrets


def find_valid(settings: Settings) -> Iterator[tuple[Path, Pipeline]]:
    """The pipelines that can be read; what is wrong with the others is the Airflow-free side's to tell."""
    folders = find_folders(settings).paths
    for folder in (settings.pipelines,) if folders is None else folders:
        for path in find_pipeline_files(folder):
            try:
                yield path, load_pipeline(path, folder, settings.environment)
            except SpecError:
                continue


def check_executors(settings: Settings) -> Iterator[Diagnosis]:
    """Whether Airflow's configuration has the executors that tasks name; Airflow takes no DAG that names another."""
    folders = find_folders(settings).paths
    known = list_executors(bundled=folders is not None)
    for path, pipeline in find_valid(settings):
        complaints = list(find_unknown_executors(pipeline, known))
        root = next(folder for folder in folders or (settings.pipelines,) if path.is_relative_to(folder))
        for finding in place_complaints(complaints, path, root, settings.environment):
            where, remedy = (
                f"{finding.file}:{finding.line}:{finding.column}",
                "Mend the pipeline file, or Airflow's configuration.",
            )
            yield wrong("executors", where, f"{finding.path}: {finding.message}", remedy)
        options = (pipeline.spec.airflow.default_args, *pipeline.spec.airflow.tasks.values())
        if not complaints and any(each.executor for each in options):
            yield right("executors", str(path), f"Airflow has those that {pipeline.full_name} names")


def check_pools(settings: Settings, known: Collection[str]) -> Iterator[Diagnosis]:
    """Whether Airflow has the pools that tasks take slots of: without it a task waits for ever, and says nothing.

    Args:
        settings: the installation.
        known: the names of Airflow's pools.
    """
    for path, pipeline in find_valid(settings):
        options = pipeline.spec.airflow
        asked = {f"tasks.{task}": each.pool for task, each in options.tasks.items()}
        for key, pool in {"default_args": options.default_args.pool, **asked}.items():
            if pool is None:
                continue
            where = f"{path}: spec.airflow.{key}.pool"
            if pool in known:
                yield right("pools", where, f"the pool {pool} is there")
            else:
                remedy = (
                    f"airflow pools set {pool} 8 'slots for {pipeline.full_name}', or mend the name. "
                    "For the embedded Airflow: `airloom airflow pools set …`."
                )
                yield wrong("pools", where, f"there is no pool {pool}; there are: {', '.join(sorted(known))}", remedy)


def check_secrets(settings: Settings, *, started: bool) -> Iterator[Diagnosis]:
    """Whether Airflow has the connections and variables that `secrets` of the cluster file gives to stages.

    Args:
        settings: the installation.
        started: False: Airflow is the embedded one, and has no database yet that they could be in.
    """
    if settings.cluster_file is None:
        return
    try:
        cluster = load_cluster(settings.cluster_file)
    except SpecError as error:
        if settings.runtime != "kubernetes":  # there its mistakes are told with the cluster
            remedy = f"Mend the file; `airloom validate {settings.cluster_file}` checks it."
            yield wrong("cluster file", str(settings.cluster_file), str(error), remedy)
        return
    teams = {pipeline.metadata.team for _, pipeline in find_valid(settings)}
    for secret in dict.fromkeys(each for team in sorted(teams) for each in cluster.list_airflow_secrets(team)):
        where = f"{settings.cluster_file}: {secret.name}"
        try:
            load_secrets([secret])
        except AirloomError as error:
            remedy = "Add it to Airflow or its secrets backend, or mend `secrets` of the cluster file."
            if started or isinstance(error, ConfigError):
                yield wrong("secrets", where, str(error), remedy)
            else:
                message = f"{secret.source} is in no backend, and Airflow's database is not made yet"
                yield unchecked("secrets", where, message, "Run `airloom up`, then this again.")
        else:
            yield right("secrets", where, f"Airflow has {secret.source}")


def read_pools() -> set[str]:
    """The names of Airflow's pools; its database must answer."""
    from airloom_airflow.speedups.database import Pool

    return {str(pool.pool) for pool in Pool.get_pools()}
