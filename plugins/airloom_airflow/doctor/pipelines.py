"""What pipeline files ask of Airflow itself: pools that must be there, notifiers that must load."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from airloom.diagnosis import Diagnosis, right, wrong
from airloom.errors import ConfigError, SpecError
from airloom.settings import Settings
from airloom.spec import Pipeline, find_pipeline_files, load_pipeline
from airloom_airflow.notifications.loading import load_notifier


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
                remedy = (
                    f"airflow pools set {pool} 8 'slots for {pipeline.full_name}', or mend the name. "
                    "For the embedded Airflow: `airloom airflow pools set …`."
                )
                yield wrong("pools", where, f"there is no pool {pool}; there are: {', '.join(sorted(known))}", remedy)


def read_pools() -> set[str]:
    """The names of Airflow's pools; its database must answer."""
    from airloom_airflow.speedups.database import Pool

    return {str(pool.pool) for pool in Pool.get_pools()}
