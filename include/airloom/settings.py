"""Where an installation keeps and finds things: read once from `AIRLOOM_*` variables, the same on both sides.

Not the pipeline file: nothing here changes what a pipeline means, only where it runs.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from airloom.errors import ConfigError


@dataclass(frozen=True)
class Settings:
    """One installation.

    Attributes:
        home: state folder of the embedded runtime (databases, logs, sockets); absolute.
        data_root: what relative paths in pipeline files start from; absolute.
        pipelines: folder of pipeline files, `<team>/<pipeline>.yaml` below it; absolute.
        dag_files: folder of hand-written DAG files that Airflow runs beside the pipelines; None: there is none.
        artifacts_uri: root of the object store, `file:///…` or a bucket.
        store_seconds: how long the object store may be away, once a stage is at work, before that fails the stage.
        tracking_uri: MLflow's tracking and registry address.
        gateway_url: the inference gateway's base address.
        lineage_path: file that OpenLineage events are appended to; None switches stage lineage off.
        lineage_receiver: OpenLineage's own variables (OPENLINEAGE_URL or OPENLINEAGE__TRANSPORT__…) name where events
            are sent to, instead of that file.
        stage_host: Unix socket of the warm stage host; None or absent file: a stage is a fresh process.
        runtime: how Airflow runs stages: `subprocess` on this machine, `kubernetes` as pods.
        cluster_file: compute profiles and the rest of a Kubernetes installation; needed where `runtime` is that.
        installation: whose pods are whose where installations share a namespace: `AIRLOOM_INSTALLATION`, or a digest of
            `artifacts_uri`. It is the same on all machines of an installation.
        environment: name of the overlay (`environments:` in a pipeline file) that applies; None for none.
    """

    home: Path
    data_root: Path
    pipelines: Path
    dag_files: Path | None
    artifacts_uri: str
    store_seconds: float
    tracking_uri: str
    gateway_url: str
    lineage_path: Path | None
    lineage_receiver: bool
    stage_host: Path | None
    runtime: Literal["subprocess", "kubernetes"]
    cluster_file: Path | None
    installation: str
    environment: str | None


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Errors:
        ConfigError: `AIRLOOM_HOME` or another path is set but empty or relative, the runtime is none of ours, or
            `AIRLOOM_STORE_SECONDS` is no number of seconds.
    """
    home = _folder(environ, "AIRLOOM_HOME", Path.cwd() / "build" / "airloom")
    lineage = environ.get("AIRLOOM_LINEAGE_PATH", str(home / "lineage.jsonl"))
    host = environ.get("AIRLOOM_STAGE_HOST", "")
    artifacts_uri = environ.get("AIRLOOM_ARTIFACTS_URI", (home / "artifacts").as_uri()).rstrip("/")
    return Settings(
        home=home,
        data_root=_folder(environ, "AIRLOOM_DATA_ROOT", Path.cwd()),
        pipelines=_folder(environ, "AIRLOOM_PIPELINES", Path.cwd() / "dags" / "pipelines"),
        dag_files=_path(environ, "AIRLOOM_DAG_FILES"),
        artifacts_uri=artifacts_uri,
        store_seconds=_seconds(environ, "AIRLOOM_STORE_SECONDS", 300.0),
        tracking_uri=environ.get("AIRLOOM_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}"),
        gateway_url=environ.get("AIRLOOM_GATEWAY_URL", "http://127.0.0.1:8090").rstrip("/"),
        lineage_path=Path(lineage) if lineage else None,
        lineage_receiver=any(
            name == "OPENLINEAGE_URL" or name.startswith("OPENLINEAGE__TRANSPORT") for name in environ
        ),
        stage_host=Path(host) if host else None,
        runtime=load_runtime(environ),
        cluster_file=_path(environ, "AIRLOOM_CLUSTER_FILE"),
        installation=_installation(environ, artifacts_uri),
        environment=environ.get("AIRLOOM_ENVIRONMENT") or None,
    )


def load_runtime(environ: Mapping[str, str] = os.environ) -> Literal["subprocess", "kubernetes"]:
    """`Settings.runtime` alone: every DAG asks for it on every parse.

    Errors:
        ConfigError: it is none of ours, or lacks its cluster file.
    """
    value = environ.get("AIRLOOM_RUNTIME", "subprocess")
    if value == "subprocess":
        return "subprocess"
    if value != "kubernetes":
        raise ConfigError(f"AIRLOOM_RUNTIME is {value!r}; give subprocess or kubernetes.")
    if not environ.get("AIRLOOM_CLUSTER_FILE"):
        raise ConfigError("AIRLOOM_RUNTIME is kubernetes; set AIRLOOM_CLUSTER_FILE to the file of compute profiles.")
    return "kubernetes"


def _installation(environ: Mapping[str, str], artifacts_uri: str) -> str:
    value = environ.get("AIRLOOM_INSTALLATION", "")
    if not value:
        return hashlib.sha256(artifacts_uri.encode()).hexdigest()[:12]
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", value):
        raise ConfigError(
            f"AIRLOOM_INSTALLATION is {value!r}; give up to 40 lower-case letters, digits and `-`, such as "
            "`research-eu`, or leave it unset for one made of AIRLOOM_ARTIFACTS_URI."
        )
    return value


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    value = environ.get(name) or str(default)
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ConfigError(f"{name} is {value!r}; give seconds, such as 300, or 0 not to wait.")
    return seconds


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    return _folder(environ, name, Path()) if environ.get(name) else None


def _folder(environ: Mapping[str, str], name: str, default: Path) -> Path:
    value = environ.get(name)
    if value is None:
        return default
    if not value or not Path(value).is_absolute():
        raise ConfigError(f"{name} is {value!r}; give an absolute path, or leave it unset for {default}.")
    return Path(value)
