"""`airloom validate`: checks pipeline files and the cluster file: every error of each one's form, then of its names.

The files alone: what they name of this machine, of servers and of Airflow is looked for by `airloom doctor`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from airloom.errors import ConfigError, Finding, SpecError
from airloom.settings import Settings, load_settings
from airloom.spec import Pipeline, build_plans, find_pipeline_files, find_root, load_pipeline
from airloom.spec.cluster import Cluster, load_cluster
from airloom.spec.cluster_pods import check_amounts, check_fields, place_in_file
from airloom.spec.document import load_document
from airloom.spec.loader import place_complaints
from airloom.spec.ownership import find_newcomers
from airloom.spec.plan import find_compute
from airloom.spec.pod_schema import can_check_pods
from airloom.stages.names import find_unknown_names, list_unchecked
from airloom.stages.wiring import EmbeddedPorts

_NO_OPENAPI = " (podTemplate and Kubernetes' own fields not checked: jsonschema is not installed here)"


def run(arguments: list[str]) -> int:
    """Check the files; 0 where all are valid, else 1."""
    parser = argparse.ArgumentParser(prog="airloom validate", description="Check pipeline files and the cluster file.")
    parser.add_argument("paths", nargs="*", type=Path, metavar="FILE", help="files or folders [AIRLOOM_PIPELINES]")
    parser.add_argument("--root", type=Path, help="folder of pipeline files [the nearest `pipelines` above the file]")
    parser.add_argument("--environment", help="the overlay that applies [AIRLOOM_ENVIRONMENT]")
    options = parser.parse_args(arguments)
    settings = load_settings()
    environment = options.environment or settings.environment
    places = options.paths or [settings.pipelines]
    valid, clusters, faults = _read(places, options.root, environment, settings.cluster_file)
    faults += find_newcomers((path, root, pipeline) for path, root, pipeline in valid)
    for cluster in clusters.values():
        faults += find_unknown_profiles(((path, pipeline) for path, _, pipeline in valid), cluster)
    for path, root, pipeline in valid:
        faults += ((path, each) for each in _find_unknown_names(path, root, pipeline, environment, settings))
    bad = {path for path, _ in faults}
    for path in clusters:
        if path not in bad:
            print(f"{path}: OK, the cluster file{'' if can_check_pods() else _NO_OPENAPI}")
    for path, _, pipeline in valid:
        if path not in bad:
            print(f"{path}: OK, {pipeline.full_name}")
    if unchecked := sorted({library for *_, pipeline in valid for library in list_unchecked(pipeline)}):
        print(f"Not checked: what the files name of {', '.join(unchecked)}, which is not installed here; "
              "`airloom doctor` has the stages' Python check it")  # fmt: skip
    for finding in dict.fromkeys(finding for _, finding in faults):
        print(finding, file=sys.stderr)
    return 1 if faults else 0


def _read(
    places: list[Path], root: Path | None, environment: str | None, installed: Path | None
) -> tuple[list[tuple[Path, Path | None, Pipeline]], dict[Path, Cluster], list[tuple[Path, Finding]]]:
    """The pipelines, each with its folder of pipeline files, and the cluster files that can be read; what is wrong.

    Args:
        places: files and folders.
        root: the folder of pipeline files; None: found by each file's place.
        installed: the installation's cluster file.
    """
    pipelines: list[tuple[Path, Path | None, Pipeline]] = []
    clusters: dict[Path, Cluster] = {}
    faults: list[tuple[Path, Finding]] = []
    for path in [*([installed] if installed else []), *_list_files(places)]:
        try:
            if path == installed or load_document(path).kind == "Cluster":
                clusters[path] = load_cluster(path)
                faults += ((path, each) for each in find_pod_faults(path, clusters[path]))
                continue
            folder = root or find_root(path)
            pipelines.append((path, folder, load_pipeline(path, folder, environment)))
        except SpecError as error:
            faults += ((path, finding) for finding in error.findings)
    return pipelines, clusters, faults


def find_pod_faults(path: Path, cluster: Cluster) -> list[Finding]:
    """What of the cluster file Kubernetes will not take."""
    complaints = [*check_amounts(cluster), *(check_fields(cluster) if can_check_pods() else ())]
    return place_in_file(complaints, path)


def _find_unknown_names(
    path: Path, root: Path | None, pipeline: Pipeline, environment: str | None, settings: Settings
) -> list[Finding]:
    ports = EmbeddedPorts(settings, settings.artifacts_uri)
    complaints = list(find_unknown_names(pipeline, settings.data_root, lambda: ports.data_quality))
    return place_complaints(complaints, path, root, environment) if complaints else []


def find_unknown_profiles(
    pipelines: Iterable[tuple[Path, Pipeline]], cluster: Cluster
) -> Iterator[tuple[Path, Finding]]:
    """Stages whose `compute` names a profile that the cluster file lacks, or that their team may not use."""
    for path, pipeline in pipelines:
        stages = dict.fromkeys(task.stage for plan in build_plans(pipeline) for task in plan.tasks)
        for compute in dict.fromkeys(find_compute(pipeline, stage) for stage in stages):
            try:
                cluster.for_stage(pipeline.metadata.team, compute)
            except ConfigError as error:
                yield path, Finding(str(path), 0, 0, "", str(error))


def _list_files(places: list[Path]) -> list[Path]:
    """The files named, and those in the folders named; each once."""
    files: dict[Path, None] = {}
    for place in places:
        found = list(find_pipeline_files(place)) if place.is_dir() else [place]
        if not found:
            raise SpecError(f"{place} holds no pipeline files (*.yaml); give a file, or run `airloom init`.")
        files.update(dict.fromkeys(found))
    return list(files)
