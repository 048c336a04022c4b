"""Helm on Airloom's chart: what it renders, and releases of it in a cluster. `make test-chart` uses it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.cluster.cluster import Cluster
from tests.cluster.local.programs import run
from tests.cluster.local.servers import built_helm

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "airloom"
PRESETS = tuple(sorted(path.stem for path in (CHART / "presets").glob("*.yaml")))
"""Values for a kind of cluster, by name."""
Manifest = dict[str, Any]


def render(values: Mapping[str, Any] | None = None, preset: str = "", *, release: str = "airloom") -> list[Manifest]:
    """The objects of a release, `helm test`'s pod with them.

    Errors:
        ClusterError: with Helm's own words.
    """
    text = run(
        built_helm(), "template", release, CHART, "--namespace=models", *_value_arguments(preset), "--values=-",
        input=json.dumps(values or {}),
    )  # fmt: skip
    return [each for each in yaml.safe_load_all(text) if each]


@dataclass(frozen=True)
class Release:
    """One release of the chart in a cluster.

    Args:
        values: over the chart's own.
    """

    cluster: Cluster
    values: Mapping[str, Any]
    name: str = "airloom"
    namespace: str = "airloom"

    def install(self, seconds: int = 600) -> float:
        """`helm install --wait`; gives how long it took, in seconds."""
        started = time.monotonic()
        self._run("install", self.name, CHART, "--create-namespace", "--wait", f"--timeout={seconds}s", "--values=-")
        return time.monotonic() - started

    def upgrade(self, *arguments: str, seconds: int = 600) -> float:
        """`helm upgrade --wait`; gives how long it took, in seconds."""
        started = time.monotonic()
        self._run("upgrade", self.name, CHART, "--wait", f"--timeout={seconds}s", "--values=-", *arguments)
        return time.monotonic() - started

    def rollback(self, revision: int, seconds: int = 600) -> None:
        self._run("rollback", self.name, str(revision), "--wait", f"--timeout={seconds}s")

    def test(self) -> str:
        """`helm test`; gives what it says."""
        return self._run("test", self.name, "--timeout=300s")

    def uninstall(self) -> None:
        self._run("uninstall", self.name, "--wait", "--timeout=300s")

    def get(self, *what: str) -> list[Manifest]:
        """Objects of the release's namespace, as `kubectl get` finds them."""
        found: list[Manifest] = json.loads(self.cluster.kubectl("-n", self.namespace, "get", *what, "-o", "json"))[
            "items"
        ]
        return found

    def address(self, part: str) -> str:
        """Of a part's Service, which this machine reaches where the cluster is its own."""
        text = self.cluster.kubectl("-n", self.namespace, "get", "service", f"{self.name}-{part}", "-o", "json")
        spec = json.loads(text)["spec"]
        return f"http://{spec['clusterIP']}:{spec['ports'][0]['port']}"

    def _run(self, *command: str | Path) -> str:
        return run(
            built_helm(), f"--kubeconfig={self.cluster.kubeconfig}", f"--namespace={self.namespace}", *command,
            input=json.dumps(self.values),
        )  # fmt: skip


def _value_arguments(preset: str) -> Sequence[str]:
    return [f"--values={CHART / 'presets' / f'{preset}.yaml'}"] if preset else []
