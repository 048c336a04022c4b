"""What the chart renders, with each preset: no cluster is needed."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import jsonschema
import pytest
import yaml
from tests.chart.helm import CHART, PRESETS, ROOT, Manifest, render
from tests.cluster.local.programs import run
from tests.cluster.local.servers import built_helm

from airloom.spec.cluster import ClusterFile

_STORE = {"gke": "gs://models/airloom", "eks": "s3://models/airloom", "aks": "az://models/airloom"}
_TEAM: dict[str, Any] = {"teams": {"ops": {"quota": {"pods": 20, "cpu": "64"}}}}
_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "trial": ("", _TEAM),
    **{name: (name, {**_TEAM, "objectStore": {"uri": uri}}) for name, uri in _STORE.items()},
    "airflow-elsewhere": ("airflow-elsewhere", _TEAM),
    "kubernetes-executor": ("", {**_TEAM, "executor": "KubernetesExecutor"}),
    "git": ("", {**_TEAM, "pipelines": {"source": "git", "git": {"repository": "https://git.example/models.git"}}}),
    "everything": (
        "",
        {
            **_TEAM,
            "ingress": {"enabled": True, "apiServer": "airflow.example", "mlflow": "mlflow.example",
                        "tlsSecretName": "tls"},
            "gatewayApi": {"enabled": True, "gateway": "models.example", "parentRefs": [{"name": "outside"}]},
            "monitoring": {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}},
            "images": {"pullSecrets": ["registry"]},
            "tolerations": [{"key": "airloom", "operator": "Exists"}],
            "nodeSelector": {"pool": "system"},
            "priorityClassName": "high",
        },
    ),
}  # fmt: skip
"""Preset and values over it."""
_LONG_RUNNING = ("Deployment", "StatefulSet")
CASES = pytest.mark.parametrize("case", _CASES)


@cache
def rendered(case: str) -> tuple[Manifest, ...]:
    preset, values = _CASES[case]
    return tuple(render(values, preset))


def of_kind(case: str, *kinds: str) -> list[Manifest]:
    return [each for each in rendered(case) if each["kind"] in kinds]


def read_template(manifest: Manifest) -> Manifest | None:
    """The pod of a workload, with its metadata."""
    if manifest["kind"] == "Pod":
        return manifest
    template: Manifest | None = manifest.get("spec", {}).get("template")
    return template


def list_pods(case: str) -> Iterator[tuple[str, Manifest]]:
    """Every pod that the chart starts, by its workload's name; a worker of KubernetesExecutor too."""
    for manifest in rendered(case):
        if template := read_template(manifest):
            yield manifest["metadata"]["name"], template
        if text := manifest.get("data", {}).get("worker.yaml") if manifest["kind"] == "ConfigMap" else None:
            yield "worker", yaml.safe_load(text)


def list_containers(case: str) -> Iterator[tuple[str, Manifest]]:
    for name, pod in list_pods(case):
        for container in [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]:
            yield f"{name}/{container['name']}", container


def find_environ(manifests: Iterable[Manifest]) -> dict[str, str]:
    """Variables of Airflow's containers that are no secret."""
    maps = (each for each in manifests if each["kind"] == "ConfigMap")
    [found] = [each for each in maps if each["metadata"]["name"] == "airloom-airflow"]
    data: dict[str, str] = found["data"]
    return data


def test_every_preset_is_tried() -> None:
    assert set(PRESETS) <= {preset for preset, _ in _CASES.values()}


@CASES
def test_helm_lint_finds_no_fault(case: str) -> None:
    preset, values = _CASES[case]
    files = [f"--values={CHART / 'presets' / f'{preset}.yaml'}"] if preset else []
    run(built_helm(), "lint", "--strict", CHART, *files, "--values=-", input=json.dumps(values))


@CASES
def test_every_pod_is_one_that_kubernetes_knows(case: str) -> None:
    schema = json.loads((ROOT / "include" / "airloom" / "spec" / "pod.schema.json").read_text())
    for _, pod in list_pods(case):
        jsonschema.validate({"apiVersion": "v1", "kind": "Pod", **pod}, schema)


@CASES
def test_every_pod_is_restricted(case: str) -> None:
    for name, pod in list_pods(case):
        spec, security = pod["spec"], pod["spec"]["securityContext"]
        assert security["runAsNonRoot"], name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        assert not [volume for volume in spec.get("volumes", ()) if "hostPath" in volume], name
    for name, container in list_containers(case):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name


@CASES
def test_only_what_starts_pods_has_a_token(case: str) -> None:
    """Beside the long-running two there is a worker, with KubernetesExecutor."""
    having = {name for name, pod in list_pods(case) if pod["spec"]["automountServiceAccountToken"]}
    assert having <= {"airloom-scheduler", "airloom-triggerer", "worker"}
    for account in of_kind(case, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


@CASES
def test_every_part_has_probes_and_every_container_its_resources(case: str) -> None:
    for manifest in of_kind(case, *_LONG_RUNNING):
        for container in manifest["spec"]["template"]["spec"]["containers"]:
            assert {"startupProbe", "livenessProbe"} <= set(container), container["name"]
    ready = {name for name, container in list_containers(case) if "readinessProbe" in container}
    selected = {service["metadata"]["name"] for service in of_kind(case, "Service")}
    assert {name.partition("/")[0] for name in ready} == selected
    for name, container in list_containers(case):
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
        assert "memory" in container["resources"]["limits"], name


@CASES
def test_every_port_that_is_called_is_one_of_the_container(case: str) -> None:
    for manifest in of_kind(case, *_LONG_RUNNING):
        [container] = manifest["spec"]["template"]["spec"]["containers"]
        named = {port["name"] for port in container.get("ports", ())}
        probes = [container.get(f"{kind}Probe", {}) for kind in ("startup", "readiness", "liveness")]
        assert {probe["httpGet"]["port"] for probe in probes if "httpGet" in probe} <= named


@CASES
def test_services_policies_and_budgets_choose_a_part_each(case: str) -> None:
    parts = {
        json.dumps(each["spec"]["selector"]["matchLabels"], sort_keys=True): each["metadata"]["name"]
        for each in of_kind(case, *_LONG_RUNNING)
    }
    assert len(parts) == len(of_kind(case, *_LONG_RUNNING))

    def chosen(kind: str) -> set[str]:
        labels = []
        for each in of_kind(case, kind):
            if each["metadata"]["namespace"] == "models":
                spec = each["spec"]
                given = spec["podSelector"] if "podSelector" in spec else spec["selector"]
                labels.append(given.get("matchLabels", given))
        return {parts[json.dumps(each, sort_keys=True)] for each in labels}

    assert chosen("NetworkPolicy") == set(parts.values())
    deployments = {each["metadata"]["name"] for each in of_kind(case, "Deployment")}
    assert chosen("PodDisruptionBudget") == deployments
    assert chosen("Service") <= set(parts.values())


@CASES
def test_no_secret_is_in_clear(case: str) -> None:
    """Secrets hold what is generated; nothing else does, and no variable of a telling name has a value of its own."""
    generated = {
        base64.b64decode(value).decode() for each in of_kind(case, "Secret") for value in each["data"].values()
    }
    elsewhere = json.dumps([each for each in rendered(case) if each["kind"] != "Secret"])
    assert not [value for value in generated if value in elsewhere]
    for name, container in list_containers(case):
        for variable in container.get("env", ()):
            if re.search(r"PASSWORD|SECRET_KEY|JWT_SECRET|FERNET|_TOKEN$|SQL_ALCHEMY|STORE_URI", variable["name"]):
                value = variable.get("value", "$(…)")
                assert "$(" in value, f"{name}: {variable['name']}"


def test_each_rendering_makes_secrets_of_its_own() -> None:
    first, second = ([each["data"] for each in render() if each["kind"] == "Secret"] for _ in range(2))
    values = [value for data in (*first, *second) for value in data.values()]
    assert len(values) == len(set(values)) == 2 * 7
    assert all(len(base64.b64decode(value)) >= 40 for value in values)


def test_existing_secrets_are_taken_for_all_and_none_is_made() -> None:
    names = {"keys": "our-keys", "postgresql": "our-database", "minio": "our-objects"}
    manifests = render({key: {"existingSecret": name} for key, name in names.items()})
    assert not [each for each in manifests if each["kind"] == "Secret"]
    named = set(re.findall(r'"secret(?:Key)?Ref": \{[^}]*"name": "([^"]+)"', json.dumps(manifests)))
    assert named == set(names.values())


@CASES
def test_a_change_of_the_configuration_rolls_airflow(case: str) -> None:
    preset, values = _CASES[case]
    changed = render({**values, "config": {"core": {"parallelism": 9}}, "environment": "production"}, preset)
    before, after = (
        {
            each["metadata"]["name"]: each["spec"]["template"]["metadata"]["annotations"].get("checksum/config")
            for each in manifests
            if each["kind"] == "Deployment"
        }
        for manifests in (rendered(case), changed)
    )
    parts = {"airloom-api-server", "airloom-scheduler", "airloom-dag-processor", "airloom-triggerer"} & set(before)
    assert {name for name in before if before[name] != after[name]} == parts
    for manifest in of_kind(case, *_LONG_RUNNING):
        assert manifest["spec"]["template"]["metadata"]["annotations"]["checksum/secrets"]


@CASES
def test_the_cluster_file_is_one(case: str) -> None:
    [files] = [each for each in of_kind(case, "ConfigMap") if each["metadata"]["name"] == "airloom-files"]
    file = ClusterFile.model_validate(yaml.safe_load(files["data"]["cluster.yaml"]))
    assert file.spec.teams["ops"].quota is not None


@CASES
def test_a_teams_namespace_is_that_of_the_file_for_kubectl(case: str) -> None:
    """One set of rules, in two forms: names and rights are alike; labels are Helm's own."""
    text = (ROOT / "helm" / "team-namespace.yaml").read_text().replace("TEAM", "ops")
    by_hand = {each["kind"]: each for each in yaml.safe_load_all(text)}
    by_chart = {
        each["kind"]: each
        for each in rendered(case)
        if "airloom-ops" in (each["metadata"]["name"], each["metadata"].get("namespace"))
    }
    assert set(by_chart) - {"Secret", "ResourceQuota"} == set(by_hand)
    for kind in ("Namespace", "ServiceAccount", "NetworkPolicy"):
        assert by_chart[kind]["metadata"]["name"] == by_hand[kind]["metadata"]["name"]
    assert by_chart["NetworkPolicy"]["spec"] == by_hand["NetworkPolicy"]["spec"]
    level = "pod-security.kubernetes.io/enforce"
    assert by_chart["Namespace"]["metadata"]["labels"][level] == by_hand["Namespace"]["metadata"]["labels"][level]
    assert read_rights(by_chart["Role"]) == read_rights(by_hand["Role"]) - {"pods patch", "secrets create"}
    assert by_chart["ResourceQuota"]["spec"]["hard"] == {"pods": "20", "requests.cpu": "64"}


def test_rights_that_only_secrets_of_airflow_need_are_given_where_there_are_some() -> None:
    manifests = render({"cluster": {"secrets": [{"name": "HF_TOKEN", "variable": "hf_token"}]}, **_TEAM})
    [role] = [each for each in manifests if each["kind"] == "Role"]
    by_hand = yaml.safe_load_all((ROOT / "helm" / "team-namespace.yaml").read_text())
    assert read_rights(role) == read_rights(next(each for each in by_hand if each["kind"] == "Role"))


def test_a_worker_knows_neither_database_nor_keys() -> None:
    [(_, worker)] = [found for found in list_pods("kubernetes-executor") if found[0] == "worker"]
    assert not re.search(r"SQL_ALCHEMY|FERNET|JWT_SECRET|airloom-keys|airloom-postgresql", json.dumps(worker))


def test_an_airflow_elsewhere_gets_its_pods_rights_and_no_airflow_of_ours() -> None:
    workloads = {each["metadata"]["name"] for each in of_kind("airflow-elsewhere", *_LONG_RUNNING, "Job")}
    assert {re.sub(r"-[0-9a-f]{10}$", "", name) for name in workloads} == {
        "airloom-mlflow", "airloom-gateway", "airloom-postgresql", "airloom-minio", "airloom-bucket",
    }  # fmt: skip
    [binding] = of_kind("airflow-elsewhere", "RoleBinding")
    assert [subject["name"] for subject in binding["subjects"]] == [
        "airflow-scheduler",
        "airflow-triggerer",
        "airflow-worker",
    ]
    assert find_environ(rendered("airflow-elsewhere"))["AIRLOOM_CLUSTER_FILE"] == "/etc/airloom/cluster.yaml"


def test_the_official_charts_values_name_what_this_chart_makes() -> None:
    overlay = yaml.safe_load((ROOT / "helm" / "official-airflow-chart.yaml").read_text())
    made = {each["metadata"]["name"] for each in of_kind("airflow-elsewhere", "ConfigMap", "Secret")}
    named = {name for entry in yaml.safe_load(overlay["extraEnvFrom"]) for reference in entry.values()
             for name in reference.values()}  # fmt: skip
    assert named | {overlay["volumes"][0]["configMap"]["name"]} <= made
    assert overlay["volumeMounts"][0]["mountPath"] == "/etc/airloom"


@pytest.mark.parametrize(
    ("values", "classpath", "arguments"),
    [
        ({}, "PipelineDagBundle", {"pipelines": "s3://airloom/pipelines", "refresh_interval": 30}),
        ({"source": "image"}, "PipelineDagBundle", {"refresh_interval": 30}),
        ({"source": "bucket", "uri": "s3://other/models"}, "PipelineDagBundle",
         {"pipelines": "s3://other/models", "refresh_interval": 30}),
        ({"source": "git", "git": {"repository": "https://git.example/m.git", "ref": "v1", "subdir": "pipelines"}},
         "git.GitPipelineDagBundle", {"tracking_ref": "v1", "subdir": "pipelines", "refresh_interval": 30,
                                      "git_conn_id": "airloom_pipelines"}),
    ],
)  # fmt: skip
def test_pipelines_come_by_image_bucket_or_git(
    values: dict[str, Any], classpath: str, arguments: dict[str, Any]
) -> None:
    manifests = render({"pipelines": values})
    environ = find_environ(manifests)
    [bundle] = json.loads(environ["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    assert bundle == {
        "name": "airloom", "classpath": f"airloom_airflow.bundles.{classpath}", "kwargs": arguments
    }  # fmt: skip


def test_configuration_goes_over_what_the_chart_sets() -> None:
    manifests = render({"config": {"core": {"executor": "my.Executor"}}})
    environ = find_environ(manifests)
    assert environ["AIRFLOW__CORE__EXECUTOR"] == "my.Executor"
    assert environ["AIRFLOW__CORE__PARALLELISM"] == "8"


def test_routes_and_monitors_are_made_where_asked_for_alone() -> None:
    extras = ("Ingress", "HTTPRoute", "ServiceMonitor", "PrometheusRule")
    assert not of_kind("trial", *extras)
    names = sorted((each["kind"], each["metadata"]["name"]) for each in of_kind("everything", *extras))
    assert names == [
        ("HTTPRoute", "airloom-gateway"),
        ("Ingress", "airloom-api-server"),
        ("Ingress", "airloom-mlflow"),
        ("PrometheusRule", "airloom"),
        ("ServiceMonitor", "airloom-gateway"),
    ]
    [rule] = of_kind("everything", "PrometheusRule")
    metrics = "".join(path.read_text() for path in (ROOT / "include" / "airloom" / "serving").glob("*.py"))
    for expression in (each["expr"] for each in rule["spec"]["groups"][0]["rules"]):
        for name in re.findall(r"airloom_gateway_(\w+)", expression):
            assert name.removesuffix("_total") in metrics, name


def test_a_job_that_changes_has_another_name() -> None:
    """Kubernetes lets no job be changed: an upgrade makes another."""

    def jobs(values: dict[str, Any]) -> set[str]:
        return {each["metadata"]["name"] for each in render(values) if each["kind"] == "Job"}

    assert jobs({}) == jobs({"apiServer": {"replicas": 2}})
    assert not jobs({}) & jobs({"images": {"airflow": "registry.example/airflow:2"}})


def read_rights(role: Manifest) -> set[str]:
    return {f"{resource} {verb}" for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
