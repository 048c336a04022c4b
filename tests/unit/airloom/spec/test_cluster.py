"""The cluster file: what holds for a team's stages of one profile, and mistakes told with their place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from airloom.cli.validate import find_pod_faults
from airloom.errors import ConfigError, SpecError
from airloom.spec.cluster import Cluster, Connection, Profile, load_cluster

ROOT = Path(__file__).parents[4]
TEAM_NAMES = st.from_regex(r"[a-c]([_-][a-c]){0,4}", fullmatch=True)


def build(**spec: Any) -> Cluster:
    return Cluster.model_validate({"images": {"cpu": "stage:1"}, **spec})


def write(folder: Path, spec: str) -> Path:
    file = folder / "cluster.yaml"
    file.write_text(f"apiVersion: airloom.io/v1\nkind: Cluster\nspec:\n  images: {{cpu: x}}\n{spec}")
    return file


@given(st.lists(TEAM_NAMES, unique=True, min_size=2))
def test_no_two_teams_share_a_namespace_unless_the_file_says_so(teams: list[str]) -> None:
    assert len({build().find_namespace(team) for team in teams}) == len(teams)


def test_teams_whose_names_differ_by_a_sign_have_namespaces_of_their_own() -> None:
    assert build().find_namespace("a-b") == "airloom-a-b"
    assert build().find_namespace("a_b") == "airloom-a--b"
    shared = build(namespace="stages", teams={"a_b": {"namespace": "own"}})
    assert (shared.find_namespace("a-b"), shared.find_namespace("a_b")) == ("stages", "own")


def test_a_namespace_too_long_for_kubernetes_is_told_with_its_remedy() -> None:
    with pytest.raises(ConfigError, match=r"has 68 characters.*give spec\.teams\.x+\.namespace"):
        build().find_namespace("x" * 60)


def test_a_team_has_its_own_over_the_installations() -> None:
    cluster = build(
        env={"A": "all", "B": "all"},
        secrets=["s3"],
        teams={
            "ops": {
                "namespace": "operations",
                "serviceAccountName": "ops",
                "secrets": ["warehouse", "s3"],
                "env": {"B": "ops"},
            }
        },
    )
    ops, _ = cluster.for_stage("ops", "cpu-small")
    assert ops.find_namespace("ops") == "operations"
    assert ops.serviceAccountName == "ops"
    assert ops.secrets == ("s3", "warehouse")
    assert ops.env == {"A": "all", "B": "ops"}
    other, _ = cluster.for_stage("research", "cpu-small")
    assert other.find_namespace("research") == "airloom-research"
    assert (other.serviceAccountName, other.secrets, other.env) == ("airloom-stage", ("s3",), {"A": "all", "B": "all"})


def test_a_teams_secret_of_airflow_goes_before_the_installations_of_that_name() -> None:
    cluster = build(
        secrets=["s3", {"name": "PGPASSWORD", "conn_id": "warehouse"}, {"name": "HF_TOKEN", "variable": "hf"}],
        teams={"ops": {"secrets": ["own", {"name": "PGPASSWORD", "conn_id": "ops", "field": "extra.key"}]}},
    )
    assert cluster.list_kubernetes_secrets("ops") == ("s3", "own")
    password, token = cluster.list_airflow_secrets("ops")
    assert (password.source, token.source) == ("extra.key of Airflow connection 'ops'", "Airflow variable 'hf'")
    ops, _ = cluster.for_stage("ops", "cpu-small")
    assert ops.list_airflow_secrets("ops") == (password, token)
    assert [each.conn_id for each in cluster.list_airflow_secrets("research")] == ["warehouse", None]


@pytest.mark.parametrize(
    ("quota", "words"),
    [
        ({"cpu": "3"}, "asks for cpu: 4, and spec.teams.ops.quota of the cluster file gives 3 in all"),
        ({"memory": "10Gi"}, "asks for memory: 16Gi"),
        ({"gpu": 0}, "asks for gpu: 1"),
    ],
)
def test_a_pod_that_is_larger_than_its_teams_quota_is_refused_and_does_not_wait(
    quota: dict[str, Any], words: str
) -> None:
    profile = {"cpu": "4", "memory": "8Gi", "memory_max": "16Gi", "gpu": {"count": 1}}
    cluster = build(profiles={"big": profile}, teams={"ops": {"quota": quota}})
    with pytest.raises(ConfigError, match=re.escape(words)):
        cluster.for_stage("ops", "big")
    cluster.for_stage("research", "big")


def test_a_teams_quota_is_a_resource_quota_of_kubernetes() -> None:
    team = build(teams={"ops": {"quota": {"pods": 20, "cpu": "64", "memory": "256Gi", "gpu": 4}}}).teams["ops"]
    assert team.quota is not None
    assert team.quota.hard == {
        "pods": "20",
        "requests.cpu": "64",
        "requests.memory": "256Gi",
        "requests.nvidia.com/gpu": "4",
    }


def test_a_profile_may_name_another_cluster_and_its_provider() -> None:
    cluster = build(
        provider="eks",
        workload_identity=True,
        env={"AIRLOOM_TRACKING_URI": "http://mlflow", "A": "all"},
        clusters={
            "farm": {
                "connection": {"conn_id": "gpu_farm"},
                "provider": "gke",
                "images": {"cpu": "c:1", "gpu": "g:1"},
                "env": {"AIRLOOM_TRACKING_URI": "https://mlflow.example"},
            }
        },
        teams={"ops": {"env": {"A": "ops"}}},
        profiles={"gpu-large": {"cluster": "farm", "gpu": {}}},
    )
    farm, profile = cluster.for_stage("ops", "gpu-large")
    assert farm.connection == Connection(conn_id="gpu_farm")
    assert (farm.provider, farm.workload_identity) == ("gke", False)
    assert farm.image(profile) == "g:1"
    assert farm.env == {"AIRLOOM_TRACKING_URI": "https://mlflow.example", "A": "ops"}
    own, _ = cluster.for_stage("ops", "cpu-small")
    assert (own.connection, own.provider, own.image(Profile())) == (Connection(), "eks", "stage:1")


def test_every_place_where_a_teams_pods_may_be_is_listed_once() -> None:
    cluster = build(
        clusters={"farm": {"connection": {"conn_id": "farm"}}, "twin": {"connection": {"conn_id": "farm"}}},
        teams={"b": {"namespace": "airloom-a"}},
    )
    assert cluster.list_places(["a", "b"]) == [
        (Connection(), "airloom-a"),
        (Connection(conn_id="farm"), "airloom-a"),
    ]


def test_a_profile_that_is_not_the_teams_is_refused_with_those_that_are() -> None:
    teams = {"ops": {"profiles": ["cpu-small", "cpu-large"]}}
    cluster = build(profiles={"gpu-large": {}, "cpu-large": {}}, teams=teams)
    with pytest.raises(ConfigError, match="not for team 'ops', which may use cpu-large, cpu-small") as raised:
        cluster.for_stage("ops", "gpu-large")
    assert "add it to spec.teams.ops.profiles" in str(raised.value)
    assert cluster.for_stage("research", "gpu-large")[1] == Profile()
    assert cluster.list_profiles("ops") == ["cpu-large", "cpu-small"]


def test_an_unknown_profile_is_told_with_those_that_there_are() -> None:
    cluster = build(profiles={"gpu-large": {}})
    with pytest.raises(ConfigError, match="'gpu-huge' is no profile of this installation; it has cpu-small, gpu-large"):
        cluster.for_stage("ops", "gpu-huge")
    with pytest.raises(ConfigError, match=r"images\.gpu"):
        cluster.image(Profile.model_validate({"gpu": {}}))


@pytest.mark.parametrize(
    ("connection", "words"),
    [
        ({"conn_id": "a", "kubeconfig": "/k"}, "not both"),
        ({"conn_id": "a", "context": "c"}, "not both"),
        ({"context": "c"}, "context 'c' needs a kubeconfig"),
    ],
)
def test_a_connection_that_says_two_things_is_refused(connection: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Connection.model_validate(connection)


def test_only_the_installations_own_cluster_is_reached_from_within() -> None:
    assert Connection().in_cluster
    assert not Connection(kubeconfig="/k").in_cluster
    assert not Connection(conn_id="a").in_cluster


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("  profiles:\n    gpu: {gpus: 1}\n", "cluster.yaml:6:11: spec.profiles.gpu.gpus: unknown key 'gpus'"),
        ("  profiles:\n    gpu: {memory: 2GB}\n", "6:19: spec.profiles.gpu.memory: given '2GB'; give a Kubernetes"),
        ("  profiles:\n    gpu: {gpu: {}}\n", "6:11: spec.profiles.gpu.gpu: a profile has a gpu, and"),
        (
            "  profiles:\n    far: {cluster: mars}\n",
            "6:20: spec.profiles.far.cluster: given 'mars'; the file's",
        ),
        (
            "  teams:\n    ops: {profiles: [cpu-small, big]}\n",
            "6:33: spec.teams.ops.profiles.1: given 'big'; the",
        ),
        ("  namespace: 'x-{tema}'\n", "5:14: spec.namespace: given 'x-{tema}'; give a namespace"),
        ("  workload_identity: true\n", "5:22: spec.workload_identity: a generic cluster has no workload identity"),
        (
            "  provider: gke\n  mount_api_token: true\n",
            "6:20: spec.mount_api_token: gke gives pods an identity without the API server's token",
        ),
        (
            "  secrets: [{name: PGPASSWORD}]\n",
            "5:13: spec.secrets.0: give conn_id, an Airflow connection, or variable, an Airflow variable: one",
        ),
        (
            "  secrets: [{name: T, variable: t, field: uri}]\n",
            "5:13: spec.secrets.0: field is of a connection, and a variable has none",
        ),
        (
            "  secrets: [{name: PG-PASS, conn_id: w}]\n",
            "5:20: spec.secrets.0.name: given 'PG-PASS'; give a variable's name",
        ),
        (
            "  secrets: [{name: P, conn_id: w, field: passwort}]\n",
            "5:42: spec.secrets.0.field: given 'passwort'; give what of the connection is meant",
        ),
        (
            "  secrets: [{name: P, conn_id: w}, {name: P, variable: p}]\n",
            "5:43: spec.secrets.1.name: P is in `secrets` twice; keep one of them",
        ),
        (
            "  env: {P: plain}\n  teams:\n    ops: {secrets: [{name: P, conn_id: w}]}\n",
            "7:28: spec.teams.ops.secrets.0.name: P is in `env` too; keep one of them",
        ),
        (
            "  namespace: stages\n  teams:\n    ops: {quota: {pods: 2}}\n",
            "7:11: spec.teams.ops.quota: a quota is its namespace's, and stages is that of other teams too (all that",
        ),
        (
            "  teams:\n    ops: {namespace: x, quota: {pods: 2}}\n    own: {namespace: x}\n",
            "6:25: spec.teams.ops.quota: a quota is its namespace's, and x is that of other teams too (own)",
        ),
        (
            "  teams:\n    ops: {quota: {}}\n",
            "6:11: spec.teams.ops.quota: a quota of nothing",
        ),
        (
            "  clusters:\n    farm:\n      connection: {conn_id: farm}\n      workload_identity: true\n",
            "8:26: spec.clusters.farm.workload_identity: a generic cluster",
        ),
    ],
)
def test_a_mistake_in_the_cluster_file_is_told_with_its_place(tmp_path: Path, spec: str, words: str) -> None:
    with pytest.raises(SpecError) as raised:
        load_cluster(write(tmp_path, spec))
    [finding] = raised.value.findings
    assert words in str(finding)


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    assert load_cluster(write(tmp_path, "")).secrets == ()
    assert load_cluster(write(tmp_path, "  secrets: [s3]\n")).secrets == ("s3",)


def test_the_readmes_cluster_file_is_one(tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "kubernetes.md").read_text(), re.DOTALL | re.MULTILINE)
    text, of_data = [block for block in blocks if "kind: Cluster" in block]
    (tmp_path / "data.yaml").write_text(of_data)
    [container] = load_cluster(tmp_path / "data.yaml").profiles["cpu-small"].podTemplate["spec"]["containers"]
    assert container["volumeMounts"][0]["mountPath"] == load_cluster(tmp_path / "data.yaml").env["AIRLOOM_DATA_ROOT"]
    assert not find_pod_faults(tmp_path / "data.yaml", load_cluster(tmp_path / "data.yaml"))
    (tmp_path / "cluster.yaml").write_text(text)
    cluster = load_cluster(tmp_path / "cluster.yaml")
    assert cluster.for_stage("research", "gpu-large")[0].provider == "eks-karpenter"
