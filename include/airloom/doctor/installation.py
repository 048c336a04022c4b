"""The machine's own part of an installation: pipeline files, what they read, and the libraries that their stages load.

Nothing here reaches over the network.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from airloom.diagnosis import Diagnosis, right, unchecked, wrong
from airloom.doctor.writable import find_folder_fault
from airloom.errors import ConfigError, SpecError
from airloom.settings import Settings
from airloom.spec import Pipeline, find_pipeline_files, load_pipeline
from airloom.spec.document import load_document
from airloom.spec.sources import BatchesSource, CsvSource, PackageSource, ParquetSource, SecretRef, Source, SqlSource
from airloom.stages.secrets import load_secret

_DATA = "spec.data."
_STORES = {"s3": "s3", "gs": "obstore", "az": "obstore"}
"""Scheme of the object store's URI → the extra that has it."""


def load_pipelines(settings: Settings) -> tuple[list[tuple[Path, Pipeline]], list[Diagnosis]]:
    """The pipelines that are valid, and what is to be said of the folder and of each file."""
    folder, check = settings.pipelines, "pipeline files"
    if not folder.is_dir():
        remedy = "Make the folder, or set AIRLOOM_PIPELINES to the one that holds <team>/<pipeline>.yaml."
        return [], [wrong(check, str(folder), "the folder is not there", remedy)]
    valid: dict[str, tuple[Path, Pipeline]] = {}
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
        if other := valid.get(pipeline.full_name):
            message = f"{pipeline.full_name} is the pipeline of {other[0]} too"
            found.append(wrong(check, str(path), message, "Give each a metadata.name of its own."))
            continue
        valid[pipeline.full_name] = path, pipeline
    if not valid and not found:
        found.append(wrong(check, str(folder), "the folder holds no pipeline files", "Write one: `airloom init`."))
    if valid:
        found.append(right(check, str(folder), f"{len(valid)} valid: {', '.join(sorted(valid))}"))
    return list(valid.values()), found


def check_environment(settings: Settings, pipelines: list[tuple[Path, Pipeline]]) -> Iterator[Diagnosis]:
    """Whether the overlay that AIRLOOM_ENVIRONMENT names is in any file; a name that is in none changes nothing."""
    if settings.environment is None:
        return
    files = [*(path for path, _ in pipelines), *settings.pipelines.rglob("defaults.yaml")]
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
                yield _of_pods(found) if settings.runtime == "kubernetes" else _of_later(found) if late else found
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
    if isinstance(source, SqlSource | PackageSource) or "://" in source.path:
        return  # `check_libraries` looks for packages; addresses are the stage's to open
    assert isinstance(source, CsvSource | ParquetSource | BatchesSource)
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


def find_extras(pipeline: Pipeline, settings: Settings) -> dict[str, str]:
    """Extra of the `airloom` dist → what of the pipeline or the installation needs it."""
    spec = pipeline.spec
    wanted = {"duckdb": "spec.data", "scikit-learn": "spec.train", "mlflow": "spec.train"}
    if spec.features:
        wanted["feast"] = "spec.features"
    if spec.data.expectations:
        wanted["great-expectations"] = "spec.data.expectations"
    if spec.monitor and spec.monitor.drift:
        wanted["evidently"] = "spec.monitor.drift"
    if spec.deploy:
        wanted["serving"] = "spec.deploy"
    if settings.lineage_path or settings.lineage_receiver:
        wanted["openlineage"] = "AIRLOOM_LINEAGE_PATH"
    if extra := _STORES.get(settings.artifacts_uri.partition(":")[0]):
        wanted[extra] = "AIRLOOM_ARTIFACTS_URI"
    return wanted


def check_libraries(
    pipelines: list[tuple[Path, Pipeline]], settings: Settings, environ: Mapping[str, str]
) -> Iterator[Diagnosis]:
    """Whether this Python has what the pipelines' stages load; where stages run in another, that is told instead."""
    check = "libraries"
    if settings.runtime == "kubernetes":
        yield unchecked(
            check, "the stages' images", "stages load their libraries from their images, which were not opened",
            "Run `airloom doctor` in the image, with AIRLOOM_RUNTIME=subprocess.",
        )  # fmt: skip
        return
    python = environ.get("AIRLOOM_STAGE_PYTHON")
    if python and not Path(python).is_file():
        remedy = "Set it to the Python of the environment that has airloom and its extras."
        yield wrong(check, "AIRLOOM_STAGE_PYTHON", f"{python} is not there", remedy)
        return
    if python and Path(python).absolute() != Path(sys.executable).absolute():
        remedy = f"Run `{python} -m airloom doctor`."
        yield unchecked(check, python, "stages run with this Python, and the doctor with another", remedy)
        return
    missing: set[str] = set()
    for path, pipeline in pipelines:
        for extra, reason in find_extras(pipeline, settings).items():
            for library in find_missing(extra):
                if library not in missing:
                    missing.add(library)
                    message = f"{library} is not installed here; {path} needs it ({reason})"
                    yield wrong(check, library, message, f"pip install 'airloom[{extra}]'")
        yield from _check_code(path, pipeline, settings)
    if pipelines and not missing:
        yield right(check, sys.executable, "the extras that the pipelines need are installed")


def find_missing(extra: str) -> Iterator[str]:
    """Distributions of an extra of the `airloom` dist that are not installed."""
    for text in importlib.metadata.requires("airloom") or ():
        requirement = re.match(r"(?P<name>[\w.-]+).*;.*extra == ['\"](?P<extra>[\w-]+)['\"]", text)
        if requirement and requirement["extra"] == extra:
            try:
                importlib.metadata.version(requirement["name"])
            except importlib.metadata.PackageNotFoundError:
                yield requirement["name"]


def _check_code(path: Path, pipeline: Pipeline, settings: Settings) -> Iterator[Diagnosis]:
    """Whether the packages that a pipeline names by hand are found; only their top is looked for, no code is run."""
    train, packages = pipeline.spec.train, {}
    if train.estimator:
        packages["spec.train.estimator"] = train.estimator.partition(".")[0]
    if train.entrypoint:
        packages["spec.train.entrypoint"] = train.entrypoint.partition(":")[0].partition(".")[0]
    for name, source in pipeline.spec.data.sources.items():
        if isinstance(source, PackageSource):
            packages[f"spec.data.sources.{name}"] = source.package.partition(".")[0]
    for key, package in packages.items():
        beside = [settings.data_root / package, settings.data_root / f"{package}.py"]
        if importlib.util.find_spec(package) is None and not any(place.exists() for place in beside):
            message = f"there is no Python package {package}, here or in {settings.data_root}"
            remedy = f"Install the distribution that brings it (perhaps `pip install {package}`), or mend the name."
            yield wrong("libraries", f"{path}: {key}", message, remedy)
