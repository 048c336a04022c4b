"""What an installation reaches over the network, or writes to: the object store, MLflow, the gateway, lineage."""

from __future__ import annotations

import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from airloom.diagnosis import Diagnosis, right, unchecked, wrong
from airloom.doctor.writable import find_file_fault
from airloom.errors import AirloomError
from airloom.settings import Settings
from airloom.spec import Pipeline
from airloom.stages.wiring import EmbeddedPorts, open_object_store

_PROBE = b"written and removed by `airloom doctor`"
_SECONDS = 5.0


def check_object_store(settings: Settings) -> Iterator[Diagnosis]:
    """Whether an object can be written, read and removed; leaves none."""
    check, where = "object store", settings.artifacts_uri
    if settings.runtime == "kubernetes" and where.startswith("file:"):
        yield wrong(
            check, where, "stages are pods, and a pod shares no folder with Airflow",
            "Set AIRLOOM_ARTIFACTS_URI to a bucket, s3://…, that pods and Airflow reach.",
        )  # fmt: skip
        return
    uri = f"{where}/.airloom-doctor/{uuid.uuid4().hex}"
    try:
        store = open_object_store(where)
        store.write(uri, _PROBE)
        read = store.read(uri)
        store.delete(uri)
    except AirloomError as error:
        remedy = "See AIRLOOM_ARTIFACTS_URI and the store's own variables (AWS_…, AZURE_…, GOOGLE_…)."
        yield wrong(check, where, str(error), remedy)
        return
    if where.startswith("file:"):
        _remove_empty(Path(where.removeprefix("file://")) / ".airloom-doctor")
    if read != _PROBE:
        yield wrong(check, where, "what was read is not what was written", "See what stands before the store.")
        return
    yield right(check, where, "an object was written, read and removed")
    if settings.runtime == "kubernetes":
        remedy = "See that `env` and `secrets` of the cluster file lead pods to the same bucket."
        yield unchecked(check, where, "it was tried from here, not from a pod", remedy)


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # somebody else's probe is in it


def check_tracker(settings: Settings) -> Diagnosis:
    """Whether MLflow's registry answers; a database file is not opened, as it would be made."""
    check, where = "MLflow", settings.tracking_uri
    if where.startswith("sqlite:///"):
        if (fault := find_file_fault(Path(where.removeprefix("sqlite:///")))) is None:
            return right(check, where, "a database file that can be written")
        remedy = "Set AIRLOOM_TRACKING_URI to http://… of an MLflow server, or to a file that can be written."
        return wrong(check, where, fault, remedy)
    try:
        models = EmbeddedPorts(settings, settings.artifacts_uri).model_registry.names()
    except AirloomError as error:
        remedy = "Start the server, or set AIRLOOM_TRACKING_URI to where it is; credentials are MLFLOW_TRACKING_…"
        return wrong(check, where, str(error), remedy)
    return right(check, where, f"the registry answers; it knows {len(models)} models")


def check_gateway(settings: Settings, pipelines: list[tuple[Path, Pipeline]]) -> Iterator[Diagnosis]:
    """Whether the inference gateway answers, where a pipeline deploys to it."""
    deploying = [pipeline.full_name for _, pipeline in pipelines if pipeline.spec.deploy]
    if not deploying:
        return
    trouble = find_trouble(f"{settings.gateway_url}/v2/health/live", success=True)
    if trouble is None:
        yield right("gateway", settings.gateway_url, "it is alive")
        return
    message = f"{trouble}; {', '.join(deploying)} deploy to it"
    remedy = "Start it (`airloom up` or `airloom serve`), or set AIRLOOM_GATEWAY_URL to where it is."
    yield wrong("gateway", settings.gateway_url, message, remedy)


def check_lineage(settings: Settings, environ: Mapping[str, str]) -> Diagnosis:
    """Whether lineage has somewhere to go. No event is sent."""
    check = "lineage"
    if not settings.lineage_receiver:
        if settings.lineage_path is None:
            return right(check, "AIRLOOM_LINEAGE_PATH", "switched off, as this variable says")
        if settings.runtime == "kubernetes":
            message = "pods share no file with Airflow: only Airflow's own events go to it"
            remedy = "Set OPENLINEAGE_URL in the cluster file's `env` for the stages' own, or leave it at that."
            return unchecked(check, str(settings.lineage_path), message, remedy)
        if (fault := find_file_fault(settings.lineage_path)) is None:
            return right(check, str(settings.lineage_path), "the file can be written")
        remedy = "Set AIRLOOM_LINEAGE_PATH to a file that can be written, or to nothing to switch lineage off."
        return wrong(check, str(settings.lineage_path), fault, remedy)
    url = environ.get("OPENLINEAGE_URL") or environ.get("OPENLINEAGE__TRANSPORT__URL")
    if not url:
        message = "events go where OPENLINEAGE__TRANSPORT__… says, which is no plain address"
        return unchecked(check, "OPENLINEAGE__TRANSPORT", message, "Look for the events at the receiver.")
    if trouble := find_trouble(url, success=False):
        remedy = "Start the receiver, or set OPENLINEAGE_URL to where it is. Stages run on without it, unrecorded."
        return wrong(check, url, trouble, remedy)
    return right(check, url, "the receiver answers; no event was sent")


def find_trouble(url: str, *, success: bool) -> str | None:
    """What is wrong with an address; None where it answers (with success, if that is asked for)."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        return f"it answers {error.code} {error.reason}" if success else None
    except (OSError, ValueError) as error:
        return f"it does not answer: {getattr(error, 'reason', error)}"
