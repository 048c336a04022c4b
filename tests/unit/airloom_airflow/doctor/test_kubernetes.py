"""Seeded mistakes of a Kubernetes installation, each found by `python -m airloom_airflow.doctor`'s checks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.fakes.cluster_admission import ClusterAdmission, build_node

from airloom.diagnosis import Diagnosis
from airloom.settings import Settings, load_settings
from airloom_airflow.doctor.cluster import RIGHTS
from airloom_airflow.doctor.kubernetes import check_kubernetes

ROOT = Path(__file__).parents[4]
Json = dict[str, Any]


class Registry(BaseHTTPRequestHandler):
    """Has one image, airloom/stage-cpu:0.1."""

    def do_HEAD(self) -> None:
        self.send_response(200 if self.path == "/v2/airloom/stage-cpu/manifests/0.1" else 404)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class World:
    """An installation, its cluster and its registry, in which all is right until a test spoils it."""

    def __init__(self, folder: Path, api: ClusterAdmission, registry: str) -> None:
        self.folder, self.api = folder, api
        self.cluster: Json = {
            "connection": {"kubeconfig": str(api.write_kubeconfig(folder / "kubeconfig"))},
            "images": {"cpu": f"{registry}/airloom/stage-cpu:0.1"},
            "secrets": ["s3-credentials"],
            "profiles": {
                "gpu": {
                    "gpu": {"count": 1},
                    "image": f"{registry}/airloom/stage-cpu:0.1",
                    "queue": "research",
                    "node_pool": "training",
                    "priorityClassName": "urgent",
                    "runtimeClassName": "gvisor",
                }
            },
        }
        self.pipeline: Json = {
            "apiVersion": "airloom.io/v1",
            "kind": "Pipeline",
            "metadata": {"name": "p"},
            "spec": {
                "data": {"sources": {"rows": {"type": "csv", "path": "rows.csv"}}},
                "train": {"target": "y", "estimator": "sklearn.linear_model.Ridge", "compute": "gpu"},
            },
        }
        api.state.nodes = [build_node("node-1", {"airloom.io/node-pool": "training"})]

    @property
    def profile(self) -> Json:
        return self.cluster["profiles"]["gpu"]

    def settings(self) -> Settings:
        pipeline = self.folder / "pipelines" / "ops" / "p.yaml"
        pipeline.parent.mkdir(parents=True, exist_ok=True)
        pipeline.write_text(yaml.safe_dump(self.pipeline))
        file = self.folder / "cluster.yaml"
        file.write_text(yaml.safe_dump({"apiVersion": "airloom.io/v1", "kind": "Cluster", "spec": self.cluster}))
        return load_settings(
            {
                "AIRLOOM_HOME": str(self.folder / "home"),
                "AIRLOOM_PIPELINES": str(self.folder / "pipelines"),
                "AIRLOOM_RUNTIME": "kubernetes",
                "AIRLOOM_TRACKING_URI": "http://mlflow.example:5000",
                "AIRLOOM_CLUSTER_FILE": str(file),
            }
        )

    def examine(self, kubeconfig: Path | None = None) -> list[Diagnosis]:
        return list(check_kubernetes(self.settings(), kubeconfig, None))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    registry = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=registry.serve_forever, args=(0.02,), daemon=True).start()
    with ClusterAdmission() as api:
        yield World(tmp_path, api, f"127.0.0.1:{registry.server_port}")
    registry.shutdown()
    registry.server_close()


def test_an_installation_in_which_all_is_right_has_nothing_else_to_tell(world: World) -> None:
    found = world.examine()
    assert [diagnosis for diagnosis in found if diagnosis.verdict != "right"] == []
    checks = {"cluster file", "cluster", "pods", "Secret", "LocalQueue", "nodes", "rights", "images"}
    assert {diagnosis.check for diagnosis in found} == checks
    assert (world.api.made, world.api.values) == (0, 0)


def spoil_kubeconfig(world: World) -> None:
    world.cluster["connection"]["kubeconfig"] = "/nowhere/kubeconfig"


def spoil_context(world: World) -> None:
    world.cluster["connection"]["context"] = "staging"


def stop_server(world: World) -> None:
    world.api.stop()


SEEDS: dict[str, tuple[Callable[[World], Any], str, str]] = {
    "cluster file with a typo": (lambda w: w.profile.update(gpus=1), "cluster file", "unknown key 'gpus'"),
    "profile unknown": (lambda w: w.cluster["profiles"].pop("gpu"), "profiles", "compute 'gpu' is no profile"),
    "podTemplate that Kubernetes does not take": (
        lambda w: w.profile.update(podTemplate={"spec": {"nodeSelectr": {}}}),
        "profiles",
        "nodeSelectr",
    ),
    "kubeconfig gone": (spoil_kubeconfig, "cluster", "cannot be connected to"),
    "context unknown": (spoil_context, "cluster", "staging"),
    "API server away": (stop_server, "cluster", "does not answer"),
    "credentials expired": (lambda w: setattr(w.api.state, "token", "new"), "cluster", "does not know this account"),
    "namespace missing": (lambda w: w.api.state.namespaces.clear(), "namespace", "no namespace airloom-ops"),
    "service account missing": (
        lambda w: w.api.state.service_accounts.clear(),
        "service account",
        "no service account airloom-stage",
    ),
    "priority class missing": (
        lambda w: w.api.state.priority_classes.clear(),
        "priority class",
        "no PriorityClass urgent",
    ),
    "runtime class missing": (lambda w: w.api.state.runtime_classes.clear(), "runtime class", "no RuntimeClass gvisor"),
    "quota too small": (
        lambda w: w.api.state.quota.update({"limits.memory": "1Gi"}),
        "quota",
        "the quota gives 1Gi of limits.memory in all, and one pod asks for 2Gi",
    ),
    "quota that wants a limit": (
        lambda w: w.api.state.quota.update({"limits.cpu": "8"}),
        "quota",
        "must specify limits.cpu",
    ),
    "pod not restricted": (
        lambda w: w.profile.update(podTemplate={"spec": {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}}),
        "pod security",
        "hostPath",
    ),
    "Secret missing": (lambda w: w.api.state.secrets.clear(), "Secret", "no Secret s3-credentials"),
    "pull Secret missing": (lambda w: w.profile.update(imagePullSecrets=["pull"]), "Secret", "no Secret pull"),
    "queue missing": (lambda w: w.api.state.queues.clear(), "LocalQueue", "no LocalQueue research"),
    "Kueue not installed": (lambda w: setattr(w.api.state, "queues", None), "queue", "has no kueue.x-k8s.io"),
    "node pool missing": (
        lambda w: setattr(w.api.state, "nodes", [build_node("node-1")]),
        "nodes",
        "no node has the label airloom.io/node-pool=training",
    ),
    "no GPU": (
        lambda w: w.api.state.nodes[0]["status"]["allocatable"].pop("nvidia.com/gpu"),
        "nodes",
        "asks for nvidia.com/gpu: 1, and the most that a node that fits has is 0",
    ),
    "nodes too small": (
        lambda w: w.profile.update(memory="128Gi"),
        "nodes",
        "asks for memory: 128Gi",
    ),
    "taint not tolerated": (
        lambda w: w.api.state.nodes[0]["spec"]["taints"].append({"key": "team", "value": "x", "effect": "NoSchedule"}),
        "nodes",
        "taint that the pod does not tolerate",
    ),
    "MLflow on the pod's own loopback": (
        lambda w: w.cluster.update(env={"AIRLOOM_TRACKING_URI": "http://127.0.0.1:5000"}),
        "addresses",
        "which is the pod itself",
    ),
    "gateway on the pod's own loopback": (
        lambda w: w.pipeline["spec"].update(deploy={"target": "gateway"}),
        "addresses",
        "AIRLOOM_GATEWAY_URL is http://127.0.0.1:8090 in a pod",
    ),
    "image not pushed": (
        lambda w: w.profile.update(image=w.profile["image"].replace(":0.1", ":0.2")),
        "images",
        "has no such image",
    ),
    "claim template missing": (
        lambda w: w.profile.update(resourceClaims=[{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]),
        "ResourceClaimTemplate",
        "no ResourceClaimTemplate one-gpu",
    ),
    **{
        f"right missing: {' '.join(each)}": (
            lambda w, each=each: w.api.state.denied.add(f"{each[0]} {'/'.join(filter(None, each[1:]))}"),
            "rights",
            f"may not {each[0]} {'/'.join(filter(None, each[1:]))}",
        )
        for each in RIGHTS
        if each[0] != "patch" and each[1] != "secrets"
    },
    "quota that the cluster lacks": (
        lambda w: w.cluster.update(teams={"ops": {"quota": {"pods": 20, "gpu": 4}}}),
        "quota",
        "pods is 20 in the cluster file, and without a limit in the cluster; requests.nvidia.com/gpu is 4 in",
    ),
    "quota that is another in the cluster": (
        lambda w: (
            w.cluster.update(teams={"ops": {"quota": {"memory": "64Gi"}}}),
            w.api.state.quotas.append({"metadata": {"name": "team"}, "spec": {"hard": {"memory": "32Gi"}}}),
        ),
        "quota",
        "requests.memory is 64Gi in the cluster file, and 32Gi in the cluster",
    ),
    "quota for some pods only": (
        lambda w: (
            w.cluster.update(teams={"ops": {"quota": {"pods": 20}}}),
            w.api.state.quotas.append(
                {"metadata": {"name": "spot"}, "spec": {"hard": {"pods": "20"}, "scopes": ["BestEffort"]}}
            ),
        ),
        "quota",
        "pods is 20 in the cluster file, and without a limit in the cluster",
    ),
    "profile larger than its team's quota": (
        lambda w: (
            w.cluster.update(teams={"ops": {"quota": {"gpu": 0}}}),
            w.api.state.quotas.append({"metadata": {}, "spec": {"hard": {"requests.nvidia.com/gpu": "0"}}}),
        ),
        "profiles",
        "asks for gpu: 1, and spec.teams.ops.quota of the cluster file gives 0 in all",
    ),
}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seeded_mistake_is_found_with_its_place_and_remedy(world: World, seed: str) -> None:
    spoil, check, words = SEEDS[seed]
    spoil(world)
    wrongs = [diagnosis for diagnosis in world.examine() if diagnosis.verdict == "wrong"]
    assert [diagnosis.check for diagnosis in wrongs] == [check] * len(wrongs)
    assert wrongs
    assert words in wrongs[0].message
    assert all(diagnosis.where and diagnosis.remedy for diagnosis in wrongs)


def test_the_right_to_patch_is_wanted_where_failed_pods_are_kept(world: World) -> None:
    world.api.state.denied.add("patch pods")
    world.cluster["keep_failed_pods"] = True
    assert [diagnosis.message for diagnosis in world.examine() if diagnosis.verdict == "wrong"] == [
        "Airflow's account may not patch pods"
    ]


@pytest.mark.parametrize("right", ["create secrets", "patch pods"])
def test_the_rights_to_give_secrets_are_wanted_where_airflow_has_them(world: World, right: str) -> None:
    world.api.state.denied.add(right)
    assert [diagnosis for diagnosis in world.examine() if diagnosis.verdict != "right"] == []
    world.cluster["secrets"].append({"name": "HF_TOKEN", "variable": "hf"})
    found = world.examine()
    assert [diagnosis.message for diagnosis in found if diagnosis.verdict == "wrong"] == [
        f"Airflow's account may not {right}"
    ]


def test_a_quota_as_the_cluster_file_says_it_is_right_in_whatever_units(world: World) -> None:
    world.cluster["teams"] = {"ops": {"quota": {"cpu": "8", "memory": "64Gi"}}}
    hard = {"requests.cpu": "8000m", "requests.memory": "65536Mi", "count/secrets": "9"}
    world.api.state.quotas += [
        {"metadata": {"name": "team"}, "spec": {"hard": hard}},
        {"metadata": {"name": "wider"}, "spec": {"hard": {"requests.cpu": "100"}}},
    ]
    (found,) = (diagnosis for diagnosis in world.examine() if diagnosis.check == "quota")
    assert found.verdict == "right"


def test_the_remedy_of_a_quota_is_the_command_that_makes_or_mends_it(world: World) -> None:
    world.cluster["teams"] = {"ops": {"quota": {"pods": 20, "cpu": "64"}}}
    (made,) = (diagnosis for diagnosis in world.examine() if diagnosis.check == "quota")
    assert made.remedy == "kubectl -n airloom-ops create quota airloom --hard=pods=20,requests.cpu=64"
    world.api.state.quotas.append({"metadata": {"name": "team"}, "spec": {"hard": {"pods": "5"}}})
    (mended,) = (diagnosis for diagnosis in world.examine() if diagnosis.check == "quota")
    patch = '{"spec": {"hard": {"pods": "20", "requests.cpu": "64"}}}'
    assert mended.remedy == f"kubectl -n airloom-ops patch resourcequota team --type merge -p '{patch}'"


def test_what_airflows_account_may_not_see_is_not_checked_and_never_right(world: World) -> None:
    world.api.state.unreadable = "nodes|secrets|localqueues|resourcequotas"
    world.cluster["teams"] = {"ops": {"quota": {"pods": 20}}}
    found = {diagnosis.check: diagnosis for diagnosis in world.examine()}
    for check in ("nodes", "Secret", "LocalQueue", "quota"):
        assert found[check].verdict == "not checked"
        assert "airloom doctor --kubeconfig PATH" in found[check].remedy


def test_a_persons_kubeconfig_looks_where_airflows_account_may_not(world: World, tmp_path: Path) -> None:
    with ClusterAdmission() as seen:
        seen.state.nodes = world.api.state.nodes
        world.api.state.unreadable = "nodes|secrets|localqueues"
        world.api.state.denied.add("watch pods")
        found = world.examine(seen.write_kubeconfig(tmp_path / "person"))
    amiss = [diagnosis.message for diagnosis in found if diagnosis.verdict != "right"]
    assert amiss == ["Airflow's account may not watch pods"]


def test_a_quota_that_is_full_now_is_no_mistake(world: World) -> None:
    world.api.state.quota["limits.memory"] = "64Gi"
    (found,) = (diagnosis for diagnosis in world.examine() if diagnosis.check == "quota" and "gpu" in diagnosis.where)
    assert found.verdict == "not checked"
    assert "full now" in found.message


def test_a_pool_that_an_autoscaler_may_bring_is_not_checked(world: World) -> None:
    world.cluster["provider"] = "gke"
    found = [diagnosis for diagnosis in world.examine() if diagnosis.check == "nodes"]
    assert [diagnosis.verdict for diagnosis in found if "profile gpu" in diagnosis.where] == ["not checked"]


def test_an_image_that_no_registry_is_asked_for_is_not_checked(world: World) -> None:
    world.cluster["image_pull_policy"] = "Never"
    assert {diagnosis.verdict for diagnosis in world.examine() if diagnosis.check == "images"} == {"not checked"}


def test_the_rights_that_are_asked_for_are_those_that_the_template_grants() -> None:
    documents = yaml.safe_load_all((ROOT / "helm" / "team-namespace.yaml").read_text())
    (role,) = (document for document in documents if document["kind"] == "Role")
    granted = {
        (verb, *resource.partition("/")[::2])
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == set(RIGHTS)
