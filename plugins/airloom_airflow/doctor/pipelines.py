"""What pipelines ask of Airflow itself: pools and secrets that it must have, notifiers that must load."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from airloom.diagnosis import Diagnosis, right, unchecked, wrong
from airloom.errors import AirloomError, ConfigError, SpecError
from airloom.settings import Settings
from airloom.spec import Pipeline, find_pipeline_files, load_pipeline
from airloom.spec.cluster import load_cluster
from airloom_airflow.notifications.loading import load_notifier
from airloom_airflow.stage_secrets import load_secrets


def find_valid(settings: Settings) -> Iterator[tuple[Path, Pipeline]]:
    """The pipelines that can be read; what is wrong with the others is the Airflow-free side's to tell."""
    for path in find_pipeline_files(settings.pipelines):
        try:
            yield path, load_pipeline(path, settings.pipelines, settings.environment)
        except SpecError:
            continue


def check_notifiers(settings: Settings) -> Iterator[Diagnosis]:
    """Whether the classes that `notify` names load here, and take their arguments. None is called."""
    for path, pipeline in find_valid(settings):
        notify = pipeline.spec.notify
        for event in type(notify).model_fields:
            for given in getattr(notify, event) or ():
                where = f"{path}: spec.notify.{event}"
                try:
                    load_notifier(given.notifier, given.args)
                except ConfigError as error:
                    remedy = "Install what brings it where Airflow's tasks run, or mend spec.notify."
                    yield wrong("notifiers", where, str(error), remedy)
                else:
                    yield right("notifiers", where, f"{given.notifier} loads; it was not called")


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
                remedy = f"airflow pools set {pool} 8 'slots for {pipeline.full_name}', or mend the name."
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
