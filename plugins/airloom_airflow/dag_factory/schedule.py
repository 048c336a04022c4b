"""When a family's DAG starts: cron, the pipeline's own assets, others' assets and aliases. `dag` calls it. Pure."""

from __future__ import annotations

import functools
from typing import Any

from airflow.sdk import Asset, AssetAlias, AssetAll, AssetAny

from airloom.spec.orchestration import Schedule
from airloom.spec.pipeline import Pipeline
from airloom.spec.plan import AssetKind, DagPlan, asset_uri
from airloom_airflow.public_names import AssetOrTimeSchedule, CronTriggerTimetable


def build_schedule(pipeline: Pipeline, plan: DagPlan) -> Any:
    """The cron, the assets, any of both, or None: by hand."""
    wanted: list[Any] = [build_asset(pipeline, kind) for kind in plan.triggers]
    if plan.others is not None:
        wanted.append(_build_others(plan.others))
    assets = AssetAny(*wanted) if len(wanted) > 1 else wanted
    if plan.schedule is None:
        return assets or None
    cron = CronTriggerTimetable(plan.schedule, timezone=pipeline.spec.airflow.timezone)
    return AssetOrTimeSchedule(timetable=cron, assets=assets) if assets else cron


def build_asset(pipeline: Pipeline, kind: AssetKind) -> Asset:
    """The Airflow asset behind one of the pipeline's kinds."""
    return _build_asset(asset_uri(pipeline, kind))


@functools.lru_cache(maxsize=8)
def _build_asset(uri: str) -> Asset:
    """One object for the DAGs of a pipeline that name it: Airflow takes its address apart each time it is made."""
    return Asset(uri)


def _build_others(schedule: Schedule) -> Any:
    """Others' assets, and aliases.

    One by its URI is an asset whether any DAG declares it or not, so that a program outside of Airflow can say by the
    API that it was updated. One by its name is a reference: what URI it has, its owner says.
    """
    wanted: list[Any] = [Asset(name) if "://" in name else Asset.ref(name=name) for name in schedule.assets]
    wanted += [AssetAlias(name) for name in schedule.aliases]
    return AssetAll(*wanted) if schedule.when == "all" else AssetAny(*wanted)
