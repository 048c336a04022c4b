"""Asks a cluster's API server, by the connection that the cluster file gives or by a person's own kubeconfig."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airloom.spec.cluster import Connection
from airloom_airflow.pods.connection import build_hook_arguments

_SECONDS = 10
_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: of HTTP; 0: nothing came back.
        body: JSON, or an empty mapping.
        message: why not, in the server's own words.
    """

    status: int
    body: Any
    message: str = ""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


class ApiServer:
    """One API server and one account of it.

    Errors:
        Exception: of whatever kind the kubeconfig, the connection or its file gives cause for.
    """

    def __init__(self, connection: Connection) -> None:
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook

        self._client = KubernetesHook(**build_hook_arguments(connection)).get_conn()
        self.address = str(self._client.configuration.host)

    @classmethod
    def of_person(cls, kubeconfig: Path, context: str | None) -> ApiServer:
        """By a person's own account."""
        return cls(Connection(kubeconfig=str(kubeconfig), context=context))

    def get(self, path: str, *, metadata_only: bool = False) -> Answer:
        """
        Args:
            path: of the object or list.
            metadata_only: leave its content out: a Secret's values never come here.
        """
        return self._ask("GET", path, None, _METADATA_ONLY if metadata_only else "application/json")

    def may(self, namespace: str, verb: str, resource: str, subresource: str = "") -> Answer:
        """Whether this account may do that; `body["status"]["allowed"]`."""
        attributes = {"namespace": namespace, "verb": verb, "resource": resource, "subresource": subresource}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {name: value for name, value in attributes.items() if value}},
        }
        return self._ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)

    def try_pod(self, manifest: dict[str, Any]) -> Answer:
        """Have a pod refused or taken, through all of admission, and not made."""
        namespace = manifest["metadata"]["namespace"]
        return self._ask("POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All", manifest)

    def _ask(self, method: str, path: str, body: Any, accept: str = "application/json") -> Answer:
        from kubernetes.client.exceptions import ApiException  # type: ignore[import-untyped]
        from urllib3.exceptions import HTTPError

        try:
            response = self._client.call_api(
                path, method, header_params={"Accept": accept, "Content-Type": "application/json"}, body=body,
                auth_settings=["BearerToken"], _preload_content=False, _return_http_data_only=True,
                _request_timeout=_SECONDS,
            )  # fmt: skip
            return Answer(response.status, json.loads(response.data))
        except ApiException as error:
            return Answer(error.status or 0, {}, _read_message(error.body) or str(error.reason))
        except (HTTPError, OSError, ValueError) as error:
            return Answer(0, {}, str(getattr(error, "reason", None) or error))


def _read_message(body: Any) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, TypeError, KeyError):
        return str(body or "").strip()[:300]
