"""Where Airflow's bundles have pipeline files from, brought to this machine: a folder, a bucket, a git repository."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airloom.diagnosis import Diagnosis, wrong
from airloom.settings import Settings
from airloom_airflow.dag_factory.executors import list_bundles

SETTING = "dag_processor.dag_bundle_config_list"


@dataclass(frozen=True)
class PipelineFolders:
    """
    Attributes:
        paths: folder on this machine → what it is called where it comes from; None: no bundle of Airflow's is ours.
        diagnoses: of the bundles whose pipeline files could not be had.
    """

    paths: Mapping[Path, str] | None
    diagnoses: tuple[Diagnosis, ...] = ()


@functools.cache
def find_folders(settings: Settings) -> PipelineFolders:
    """What the bundles read; fetched once in a process, into Airflow's storage of bundles."""
    bundles = list_bundles(ours=True)
    paths: dict[Path, str] = {}
    diagnoses: list[Diagnosis] = []
    for bundle in bundles:
        try:
            paths |= _fetch(bundle, settings)
        except Exception as error:  # of the many classes that configurations, buckets and remotes give cause for
            remedy = f"Mend the bundle in {SETTING}, or see that what it names answers here."
            where = f"bundle {bundle.get('name')}"
            diagnoses.append(wrong("pipeline files", where, _read_message(error), remedy))
    return PipelineFolders(paths if bundles else None, tuple(diagnoses))


def _fetch(bundle: Mapping[str, Any], settings: Settings) -> dict[Path, str]:
    given: Mapping[str, Any] = bundle.get("kwargs") or {}
    module, _, name = str(bundle["classpath"]).rpartition(".")
    found = getattr(importlib.import_module(module), name)
    if "tracking_ref" in given:
        shown = "/".join(filter(None, (f"{bundle['name']}@{given['tracking_ref']}", given.get("subdir"))))
    elif given.get("pipelines"):
        shown = str(given["pipelines"])
    else:
        return {settings.pipelines: str(settings.pipelines)}
    return {found(name=bundle["name"], **given).fetch_pipelines(): shown}


def _read_message(error: Exception) -> str:
    """What it says, and what its cause says: the git provider's own words are no more than that cloning failed."""
    said = [" ".join(str(each).split()) for each in (error, error.__cause__) if each is not None]
    return ": ".join(filter(None, said))[:600] or type(error).__name__
