"""The machine's own part of an installation: pipeline files, and what they read.

Nothing here reaches over the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from airloom.diagnosis import Diagnosis, right, unchecked, wrong
from airloom.doctor.writable import find_folder_fault
from airloom.errors import ConfigError, SpecError
from airloom.settings import Settings
from airloom.spec import Pipeline, find_pipeline_files, load_pipeline
from airloom.spec.document import load_document
from airloom.spec.ownership import find_newcomers
from airloom.spec.sources import BatchesSource, CsvSource, PackageSource, ParquetSource, SecretRef, Source, SqlSource
from airloom.stages.secrets import load_secret

_DATA = "spec.data."


def load_pipelines(
    settings: Settings, folders: Iterable[Path], *, meant: bool
) -> tuple[list[tuple[Path, Pipeline]], list[Diagnosis]]:
    """The pipelines that are valid, and what is to be said of the folders and of each file.

    Args:
        settings: the installation.
        folders: of pipeline files.
        meant: False: nothing says that Airflow reads AIRLOOM_PIPELINES, which is not set.
    """
    valid: list[tuple[Path, Pipeline]] = []
    found: list[Diagnosis] = []
    for folder in folders:
        theirs, told = _load_folder(settings, folder, meant=meant or folder != settings.pipelines)
        valid += theirs
        found += told
    return valid, found


def _load_folder(
    settings: Settings, folder: Path, *, meant: bool
) -> tuple[list[tuple[Path, Pipeline]], list[Diagnosis]]:
    check = "pipeline files"
    if not folder.is_dir():
        message = "the folder is not there"
        if meant:
            remedy = "Make the folder, or set AIRLOOM_PIPELINES to the one that holds <team>/<pipeline>.yaml."
            return [], [wrong(check, str(folder), message, remedy)]
        remedy = "Set AIRLOOM_PIPELINES to the folder that a DAG file gives to load_pipelines, if one does."
        return [], [unchecked(check, str(folder), message, remedy)]
    valid: dict[Path, Pipeline] = {}
    found: list[Diagnosis] = []
    for path in find_pipeline_files(folder):
        try:
            pipeline = load_pipeline(path, folder, settings.environment)
        except SpecError as error:
            for finding in error.findings:
                place = f"{finding.file}:{finding.line}:{finding.column}" if finding.line else finding.file
                message = f"{finding.path}: {finding.message}" if finding.path else finding.message
                found.append(wrong(check, place, message, f"Mend the file; `airloom validate {path}` checks it."))
            continue
        valid[path] = pipeline
    for path, finding in list(find_newcomers((path, folder, pipeline) for path, pipeline in valid.items())):
        del valid[path]
        place, message = f"{finding.file}:{finding.line}:{finding.column}", f"{finding.path}: {finding.message}"
        found.append(wrong(check, place, message, "Give each a metadata.name of its own."))
    if not valid and not found:
        found.append(wrong(check, str(folder), "the folder holds no pipeline files", "Write one: `airloom init`."))
    if valid:
        names = sorted(pipeline.full_name for pipeline in valid.values())
        found.append(right(check, str(folder), f"{len(valid)} valid: {', '.join(names)}"))
    return list(valid.items()), found


def check_environment(
    settings: Settings, folders: Iterable[Path], pipelines: list[tuple[Path, Pipeline]]
) -> Iterator[Diagnosis]:
    """Whether the overlay that AIRLOOM_ENVIRONMENT names is in any file; a name that is in none changes nothing."""
    if settings.environment is None:
        return
    files = [*(path for path, _ in pipelines), *(path for folder in folders for path in folder.rglob("defaults.yaml"))]
    if any(settings.environment in load_document(path).data.get("environments", {}) for path in files):
        yield right("settings", "AIRLOOM_ENVIRONMENT", f"the overlay {settings.environment} is in the pipeline files")
    else:
        yield wrong(
            "settings", "AIRLOOM_ENVIRONMENT",
            f"is {settings.environment!r}, and no pipeline or defaults file has environments.{settings.environment}",
            "Set it to the name of an overlay, or leave it unset.",
        )  # fmt: skip


def check_home(settings: Settings) -> Diagnosis:
    """Whether the home folder can be written, or made."""
    if (fault := find_folder_fault(settings.home)) is None:
        return right("settings", str(settings.home), "the home folder can be written")
    return wrong(
        "settings", str(settings.home), f"the home folder cannot be written: {fault}",
        "Set AIRLOOM_HOME to a folder that this user can write.",
    )  # fmt: skip


def check_sources(
    pipelines: list[tuple[Path, Pipeline]], settings: Settings, environ: Mapping[str, str]
) -> Iterator[Diagnosis]:
    """Whether the files and secrets that pipelines name are on this machine."""
    for path, pipeline in pipelines:
        spec = pipeline.spec
        sources: dict[str, Source] = {f"spec.data.sources.{name}": source for name, source in spec.data.sources.items()}
        if spec.score:
            sources["spec.score.source"] = spec.score.source
        if spec.monitor and spec.monitor.ground_truth:
            sources["spec.monitor.ground_truth.source"] = spec.monitor.ground_truth.source
        for key, source in sources.items():
            for found in _check_source(source, f"{path}: {key}", settings, environ):
                # a batch arrives when it arrives: what is not there yet is no mistake of the pipeline's
                late = found.check == "sources" and (isinstance(source, BatchesSource) or not key.startswith(_DATA))
                of_pods = settings.runtime == "kubernetes" and found.check == "secrets"
                yield _of_pods(found) if of_pods else _of_later(found) if late and found.verdict == "wrong" else found
        if spec.score and isinstance(database := getattr(spec.score.sink, "database", None), SecretRef):
            for found in _check_secret(database, f"{path}: spec.score.sink", environ):
                yield _of_pods(found) if settings.runtime == "kubernetes" else found


def _of_pods(found: Diagnosis) -> Diagnosis:
    return replace(found, verdict="not checked", message=f"{found.message} on this machine; pods were not looked into")


def _of_later(found: Diagnosis) -> Diagnosis:
    return replace(found, verdict="not checked", message=f"{found.message} yet")


def _check_source(source: Source, where: str, settings: Settings, environ: Mapping[str, str]) -> Iterator[Diagnosis]:
    if isinstance(source, SqlSource) and isinstance(source.database, SecretRef):
        yield from _check_secret(source.database, where, environ)
    if isinstance(source, SqlSource | PackageSource):
        return  # `libraries` looks for packages; what a query reads is the database's to say
    assert isinstance(source, CsvSource | ParquetSource | BatchesSource)
    if settings.runtime == "kubernetes":
        message = f"its pod reads {source.path} of its own disk, which was not looked into"
        remedy = "See that a volume or the image has it, and AIRLOOM_DATA_ROOT of the cluster file's env is its folder."
        yield unchecked("sources", where, message, remedy)
        return
    pattern = str(settings.data_root / source.path)
    if not any(Path("/").glob(pattern.lstrip("/"))):
        remedy = "Put it there, mend the path, or set AIRLOOM_DATA_ROOT to the folder that paths start from."
        yield wrong("sources", where, f"there is no file {pattern}", remedy)


def _check_secret(secret: SecretRef, where: str, environ: Mapping[str, str]) -> Iterator[Diagnosis]:
    try:
        load_secret(secret.secret, environ)
    except ConfigError as error:
        first, _, remedy = str(error).partition(". ")
        yield wrong("secrets", where, first, remedy)
