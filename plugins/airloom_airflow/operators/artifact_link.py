"""Buttons on a task in the web UI: the MLflow run, the data docs, the drift report, the dataset's manifest.

A task pushes a link's URL as an XCom when it ends; the web UI reads that. A stage names its links by title in its
result; a URI of the local object store becomes an address of the artifacts endpoint (`airloom_airflow.ui`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

import attrs
from airflow.configuration import conf
from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

ARTIFACTS_PATH = "/airloom/artifacts"
"""Path of the artifacts endpoint on the web server."""


@attrs.define(frozen=True)
class ArtifactLink(BaseOperatorLink):
    """One link by its title, which is its name in a stage's result too."""

    title: str

    @property
    def name(self) -> str:
        return self.title

    @property
    def xcom_key(self) -> str:
        return f"airloom_link_{self.title.lower().replace(' ', '_')}"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address that this try's stage gave; empty where it gave none. Called as the task ends, in its process."""
        links: Mapping[str, Any] = getattr(operator, "links", {})
        return str(links.get(self.title, ""))


MLFLOW_RUN = ArtifactLink("MLflow run")
DATA_DOCS = ArtifactLink("Data docs")
DRIFT_REPORT = ArtifactLink("Drift report")
DATASET_MANIFEST = ArtifactLink("Dataset manifest")

STAGE_LINKS: Mapping[str, tuple[ArtifactLink, ...]] = {
    "ingest": (DATASET_MANIFEST,),
    "validate": (DATA_DOCS,),
    "train": (MLFLOW_RUN,),
    "monitor": (DRIFT_REPORT,),
}
"""Stage → its links. A link costs its task a request, so each stage has only those that it can give."""


def build_addresses(links: Mapping[str, str], artifacts_uri: str) -> dict[str, str]:
    """A result's links by title, as addresses that a browser can open; see `build_address`."""
    base_url = conf.get("api", "base_url", fallback="")
    return {title: build_address(uri, artifacts_uri, base_url) for title, uri in links.items()}


def build_address(uri: str, artifacts_uri: str, base_url: str) -> str:
    """A result's link as an address that a browser can open: http(s) as it is, the object store's by the endpoint.

    Args:
        uri: as the stage gave it.
        artifacts_uri: root of the object store.
        base_url: the web server's own address; only its path is used, so that the link holds behind any proxy.

    Returns:
        The address; empty where a browser could not open it.
    """
    if urlsplit(uri).scheme in ("http", "https"):
        return uri
    root = f"{artifacts_uri.rstrip('/')}/"
    if not uri.startswith(root):
        return ""
    return f"{urlsplit(base_url).path.rstrip('/')}{ARTIFACTS_PATH}/{quote(unquote(uri.removeprefix(root)))}"
