"""A Kubernetes API server for tests, on loopback: what `airloom doctor` asks of one, over real HTTP.

It refuses pods (`dryRun` only) in the words of Kubernetes' own admission plugins, answers access reviews, and has
nodes, Secrets and queues. Not a mock of a client, and not for pods that run: that is `kubernetes_api`.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Json = dict[str, Any]
NODE_RESOURCES = {"cpu": "16", "memory": "64Gi", "nvidia.com/gpu": "1"}


@dataclass
class State:
    """The cluster; tests change it.

    Attributes:
        denied: `verb resource[/subresource]` that the account may not do.
        unreadable: paths that the account may not read, as a pattern.
        quota: resource → most of one namespace, for `requests.…` and `limits.…`.
        quotas: the namespace's ResourceQuotas as they are listed; they refuse nothing.
        token: that it wants; empty: none.
    """

    namespaces: set[str] = field(default_factory=lambda: {"airloom-ops"})
    service_accounts: set[str] = field(default_factory=lambda: {"airloom-stage"})
    priority_classes: set[str] = field(default_factory=lambda: {"urgent"})
    runtime_classes: set[str] = field(default_factory=lambda: {"gvisor"})
    secrets: set[str] = field(default_factory=lambda: {"s3-credentials"})
    queues: set[str] | None = field(default_factory=lambda: {"research"})
    nodes: list[Json] = field(default_factory=list)
    quota: dict[str, str] = field(default_factory=dict)
    quotas: list[Json] = field(default_factory=list)
    denied: set[str] = field(default_factory=set)
    unreadable: str = "$^"
    token: str = ""


def build_node(name: str, labels: Json | None = None, taints: list[Json] | None = None, **resources: str) -> Json:
    """A node that is empty."""
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"taints": taints or []},
        "status": {"allocatable": {**NODE_RESOURCES, **resources}},
    }


class ClusterAdmission:
    """The server, while the `with` block lasts.

    Attributes:
        made: pods that were sent without `dryRun`; there should be none.
        values: how often a Secret was asked for with its values; never, it should be.
    """

    def __init__(self) -> None:
        self.state = State(nodes=[build_node("node-1")])
        self.made = 0
        self.values = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(*outer.read(urlsplit(self.path).path, self.headers))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                parts = urlsplit(self.path)
                self._answer(*outer.post(parts.path, parse_qs(parts.query), body, self.headers))

            def _answer(self, status: int, body: Json) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> ClusterAdmission:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def write_kubeconfig(self, path: Path, token: str = "") -> Path:
        entry = {"token": token} if token else {}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url}}],
            "users": [{"name": "test", "user": entry}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        path.write_text(yaml.safe_dump(document))
        return path

    def read(self, path: str, headers: Any) -> tuple[int, Json]:
        state = self.state
        if refused := self._refuse_stranger(headers):
            return refused
        if re.search(state.unreadable, path):
            return _status(403, f'User "airloom-airflow" cannot get resource at {path}')
        if path == "/version":
            return 200, {"gitVersion": "v1.35.4"}
        if path == "/api/v1/nodes":
            return 200, {"kind": "NodeList", "items": state.nodes}
        if path == "/apis/kueue.x-k8s.io" and state.queues is not None:
            return 200, {"preferredVersion": {"groupVersion": "kueue.x-k8s.io/v1beta1"}}
        if re.fullmatch(r"/api/v1/namespaces/[^/]+/resourcequotas", path):
            return 200, {"kind": "ResourceQuotaList", "items": state.quotas}
        if found := re.fullmatch(r"/api/v1/namespaces/[^/]+/secrets/(.+)", path):
            self.values += "PartialObjectMetadata" not in headers["Accept"]
            return self._find(found[1], state.secrets, "secrets")
        if found := re.fullmatch(r"/apis/kueue.x-k8s.io/v1beta1/namespaces/[^/]+/localqueues/(.+)", path):
            return self._find(found[1], state.queues or set(), "localqueues.kueue.x-k8s.io")
        return _status(404, "the server could not find the requested resource")

    def post(self, path: str, query: Json, body: Json, headers: Any) -> tuple[int, Json]:
        if refused := self._refuse_stranger(headers):
            return refused
        if path.endswith("/selfsubjectaccessreviews"):
            asked = body["spec"]["resourceAttributes"]
            what = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
            return 201, {**body, "status": {"allowed": f"{asked['verb']} {what}" not in self.state.denied}}
        namespace = path.split("/")[4]
        if query.get("dryRun") != ["All"]:
            self.made += 1
        return self._admit(namespace, body)

    def _refuse_stranger(self, headers: Any) -> tuple[int, Json] | None:
        if self.state.token and headers.get("Authorization") != f"Bearer {self.state.token}":
            return _status(401, "Unauthorized")
        return None

    def _admit(self, namespace: str, pod: Json) -> tuple[int, Json]:
        state, spec, name = self.state, pod["spec"], pod["metadata"]["name"]
        forbidden = f'pods "{name}" is forbidden: '
        account = spec["serviceAccountName"]
        if "create pods" in state.denied:
            said = (
                f'User "airloom-airflow" cannot create resource "pods" in API group "" in the namespace "{namespace}"'
            )
            return _status(403, f"pods is forbidden: {said}")
        if namespace not in state.namespaces:
            return _status(404, f'namespaces "{namespace}" not found')
        if account not in state.service_accounts:
            said = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
            return _status(403, forbidden + said)
        if (priority := spec.get("priorityClassName")) not in {None, *state.priority_classes}:
            return _status(403, f"{forbidden}no PriorityClass with name {priority} was found")
        if (runtime := spec.get("runtimeClassName")) not in {None, *state.runtime_classes}:
            return _status(403, f'{forbidden}pod rejected: RuntimeClass "{runtime}" not found')
        if any("hostPath" in volume for volume in spec["volumes"]):
            said = 'violates PodSecurity "restricted:latest": hostPath volumes (volume "host")'
            return _status(403, forbidden + said)
        for resource, most in state.quota.items():
            kind, _, plain = resource.partition(".")
            asked = spec["containers"][0]["resources"][kind].get(plain)
            if asked is None:
                return _status(403, f"{forbidden}failed quota: team: must specify {resource} for: stage")
            if asked != most:
                told = {"requested": asked, "used": "0", "limited": most}
                said = ", ".join(f"{word}: {resource}={amount}" for word, amount in told.items())
                return _status(403, f"{forbidden}exceeded quota: team, {said}")
        return 201, pod

    def _find(self, name: str, known: set[str], kind: str) -> tuple[int, Json]:
        return (200, {"metadata": {"name": name}}) if name in known else _status(404, f'{kind} "{name}" not found')


def _status(code: int, message: str) -> tuple[int, Json]:
    return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}
