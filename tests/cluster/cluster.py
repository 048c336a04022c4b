"""A cluster as the tests see it: by its kubeconfig alone. `local` has one whose parts they may break, too."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml
from tests.cluster.local.programs import ClusterError, run


@dataclass(frozen=True)
class Cluster:
    """Somebody's cluster.

    Args:
        state: a folder for what is written about it, absolute.
    """

    state: Path

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.state / "admin.kubeconfig"

    @property
    def kubectl_program(self) -> Path:
        """Whoever has a cluster has kubectl."""
        return Path("kubectl")

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """kubectl's output, as the administrator.

        Args:
            given: what it reads as its input.

        Errors:
            ClusterError: with kubectl's own words.
        """
        return run(self.kubectl_program, f"--kubeconfig={self.kubeconfig}", *arguments, input=given)

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Wait until a condition holds; a question that the API server cannot answer yet is asked again.

        Errors:
            ClusterError: not in time, or the cluster has ended.
        """
        deadline = time.monotonic() + seconds
        last = "it does not hold"
        while True:
            try:
                if condition():
                    return
            except ClusterError as error:
                last = str(error)
            self.require()
            if time.monotonic() > deadline:
                raise ClusterError(f"not within {seconds:g} s: {what}; {last}")
            time.sleep(0.1)

    def require(self) -> None:
        """Raise ClusterError where the cluster is known to have ended."""

    def write_kubeconfig(self, user: str) -> Path:
        """Of a service account in the namespace `airflow`, made here, with the rights that RBAC gives it."""
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": user, "namespace": "airflow"}}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "airflow"}}
        self.kubectl("apply", "-f", "-", given=yaml.safe_dump_all([namespace, account]))
        token = self.kubectl("-n", "airflow", "create", "token", user, "--duration=8h").strip()
        config = json.loads(self.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
        [entry] = config["users"]
        entry["user"] = {"token": token}
        path = self.state / f"{user}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))
        return path
