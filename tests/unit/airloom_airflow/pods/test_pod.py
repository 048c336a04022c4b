"""Profiles become pods that Kubernetes takes, on each provider."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airloom.errors import ConfigError
from airloom.spec.cluster import Cluster, Profile
from airloom_airflow.pods.pod import SECRET_ANNOTATION, SECRET_GATE, PodRequest, build_pod, raise_memory
from airloom_airflow.pods.schema import require_valid_pod

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
REQUEST = PodRequest(
    installation="here",
    team="ops",
    pipeline="flight_delay",
    stage="train",
    dag_id="ops__flight_delay__train",
    run_id="manual__2026-11-23T12:00:00+00:00",
    task_id="train",
    map_index=-1,
    try_number=1,
    task_instance="01a20ad2-131a-7f2a-a54b-894159c5a4dc",
    arguments=("train", "--pointer", "/dev/termination-log"),
)


def build(profile: dict[str, Any] | None = None, request: PodRequest = REQUEST, **cluster: Any) -> dict[str, Any]:
    installation = Cluster.model_validate({"images": {"cpu": "stage:1", "gpu": "stage-gpu:1"}, **cluster})
    pod = build_pod(installation, Profile.model_validate(profile or {}), request)
    require_valid_pod(pod, "the profile")
    return pod


def container(pod: dict[str, Any]) -> dict[str, Any]:
    [only] = pod["spec"]["containers"]
    return only


def test_a_pod_is_restricted() -> None:
    pod = build()
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(pod)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["metadata"]["namespace"] == "airloom-ops"
    assert pod["spec"]["activeDeadlineSeconds"] > 0


def test_each_try_and_launch_has_a_name_of_its_own_and_the_same_again() -> None:
    names = [
        build(request=replace(REQUEST, try_number=attempt, launch=launch, run_id=run))["metadata"]["name"]
        for attempt in (1, 2)
        for launch in (0, 1)
        for run in ("a", "b")
    ]
    assert len(set(names)) == len(names)
    assert build()["metadata"]["name"] == build()["metadata"]["name"]
    long = replace(REQUEST, pipeline="a_" * 31 + "b", stage="validate")
    assert len(build(request=long)["metadata"]["name"]) <= 63


def test_secrets_come_by_reference_only() -> None:
    pod = build(secrets=("s3-credentials",), env={"AWS_ENDPOINT_URL": "http://minio:9000"})
    assert container(pod)["envFrom"] == [{"secretRef": {"name": "s3-credentials"}}]
    assert {"name": "AWS_ENDPOINT_URL", "value": "http://minio:9000"} in container(pod)["env"]


def test_what_airflow_has_goes_before_what_a_pod_is_told_in_plain_words() -> None:
    secrets = [{"name": "AIRLOOM_TRACKING_URI", "conn_id": "mlflow", "field": "uri"}]
    request = replace(REQUEST, attempt=7, environ={"AIRLOOM_TRACKING_URI": "http://mlflow"})
    pod = build(request=request, secrets=secrets)
    [found] = [each for each in container(pod)["env"] if each["name"] == "AIRLOOM_TRACKING_URI"]
    assert found["valueFrom"] == {"secretKeyRef": {"name": f"{request.name}-7", "key": "AIRLOOM_TRACKING_URI"}}
    assert pod["spec"]["schedulingGates"] == [{"name": SECRET_GATE}]
    assert pod["metadata"]["annotations"][SECRET_ANNOTATION] == f"{request.name}-7"


def test_threads_follow_the_processors() -> None:
    environ = {each["name"]: each.get("value") for each in container(build({"cpu": "3500m"}))["env"]}
    assert environ["OMP_NUM_THREADS"] == "4"


def test_a_profile_asks_for_what_it_names() -> None:
    pod = build(
        {
            "cpu": "8", "cpu_limit": "16", "memory": "64Gi", "ephemeral_storage": "100Gi", "shared_memory": "16Gi",
            "gpu": {"count": 2}, "queue": "research", "runtimeClassName": "nvidia", "priorityClassName": "batch",
            "imagePullSecrets": ["registry"], "nodeSelector": {"disk": "ssd"},
            "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}],
        }
    )  # fmt: skip
    resources = container(pod)["resources"]
    assert resources["requests"] == {"cpu": "8", "memory": "64Gi", "ephemeral-storage": "100Gi", "nvidia.com/gpu": "2"}
    assert resources["limits"] == {"cpu": "16", "memory": "64Gi", "ephemeral-storage": "100Gi", "nvidia.com/gpu": "2"}
    assert resources["claims"] == [{"name": "gpu"}]
    assert {"name": "shared-memory", "mountPath": "/dev/shm"} in container(pod)["volumeMounts"]
    assert container(pod)["image"] == "stage-gpu:1"
    assert pod["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"
    assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["spec"]["resourceClaims"] == [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]


@pytest.mark.parametrize(
    ("provider", "product", "selector", "tolerated"),
    [
        ("generic", "NVIDIA-L4", {"airloom.io/node-pool": "p", "airloom.io/capacity": "spot",
                                  "nvidia.com/gpu.product": "NVIDIA-L4"}, "airloom.io/capacity"),
        ("gke", "nvidia-l4", {"cloud.google.com/gke-nodepool": "p", "cloud.google.com/gke-spot": "true",
                              "cloud.google.com/gke-accelerator": "nvidia-l4"}, "cloud.google.com/gke-spot"),
        ("eks", "NVIDIA-L4", {"eks.amazonaws.com/nodegroup": "p", "eks.amazonaws.com/capacityType": "SPOT",
                              "nvidia.com/gpu.product": "NVIDIA-L4"}, "nvidia.com/gpu"),
        ("eks-karpenter", "l4", {"karpenter.sh/nodepool": "p", "karpenter.sh/capacity-type": "spot",
                                 "karpenter.k8s.aws/instance-gpu-name": "l4"}, "nvidia.com/gpu"),
        ("eks-auto", "l4", {"karpenter.sh/nodepool": "p", "karpenter.sh/capacity-type": "spot",
                            "eks.amazonaws.com/instance-gpu-name": "l4"}, "nvidia.com/gpu"),
        ("aks", "NVIDIA-L4", {"kubernetes.azure.com/agentpool": "p", "kubernetes.azure.com/scalesetpriority": "spot",
                              "nvidia.com/gpu.product": "NVIDIA-L4"}, "kubernetes.azure.com/scalesetpriority"),
    ],
)  # fmt: skip
def test_each_provider_has_its_own_keys(provider: str, product: str, selector: dict[str, str], tolerated: str) -> None:
    pod = build({"node_pool": "p", "capacity": "spot", "gpu": {"product": product}}, provider=provider)
    assert pod["spec"]["nodeSelector"] == selector
    assert tolerated in [toleration["key"] for toleration in pod["spec"]["tolerations"]]


@pytest.mark.parametrize("provider", ["gke", "aks"])
def test_on_demand_is_where_spot_is_not(provider: str) -> None:
    spec = build({"capacity": "spot"}, replace(REQUEST, capacity="on-demand"), provider=provider)["spec"]
    [term] = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["operator"] == "DoesNotExist"


@pytest.mark.parametrize(
    ("provider", "gpu", "resource", "label"),
    [
        ("generic", {"mig": "1g.5gb"}, "nvidia.com/mig-1g.5gb", None),
        ("generic", {"sharing": "time-slicing"}, "nvidia.com/gpu.shared", None),
        ("gke", {"mig": "1g.5gb"}, "nvidia.com/gpu", "cloud.google.com/gke-gpu-partition-size"),
        ("gke", {"sharing": "time-slicing"}, "nvidia.com/gpu", "cloud.google.com/gke-gpu-sharing-strategy"),
    ],
)
def test_parts_of_a_gpu(provider: str, gpu: dict[str, str], resource: str, label: str | None) -> None:
    pod = build({"gpu": gpu}, provider=provider)
    assert container(pod)["resources"]["limits"][resource] == "1"
    assert label is None or label in pod["spec"]["nodeSelector"]


def test_a_pod_template_is_merged_over_everything() -> None:
    template = {
        "metadata": {"annotations": {"team.example/cost": "42"}},
        "spec": {
            "containers": [{"name": "stage", "env": [{"name": "A", "value": "b"}]}, {"name": "proxy", "image": "p:1"}],
            "dnsPolicy": "Default",
        },
    }
    pod = build({"podTemplate": template})
    stage, proxy = pod["spec"]["containers"]
    assert {"name": "A", "value": "b"} in stage["env"]
    assert {"name": "HOME", "value": "/tmp"} in stage["env"]
    assert proxy == {"name": "proxy", "image": "p:1"}
    assert pod["metadata"]["annotations"]["team.example/cost"] == "42"
    assert pod["spec"]["dnsPolicy"] == "Default"


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        (
            {"podTemplate": {"spec": {"nodeSelectors": {}}}},
            "spec.nodeSelectors: unknown key",
        ),
        ({"affinity": {"nodeAffinities": {}}}, "spec.affinity.nodeAffinities: unknown key 'nodeAffinities'"),
        ({"affinity": {"nodeAffinity": []}}, "spec.affinity.nodeAffinity: [] is not of type 'object'"),
        ({"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": ["x"]}}}}, "'x' is not of type 'object'"),
        ({"podTemplate": {"spec": None}}, "None is not of type 'object'"),
        ({"tolerations": [{"key": "a", "tolerationSeconds": "long"}]}, "tolerationSeconds: 'long' is not of type"),
    ],
)
def test_what_kubernetes_would_drop_or_refuse_is_told_before(profile: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match="is no pod that Kubernetes takes") as raised:
        build({"capacity": "on-demand", **profile}, provider="gke")
    assert words in str(raised.value)


def test_a_context_too_large_for_a_variable_is_told() -> None:
    with pytest.raises(ConfigError, match="make the pipeline file smaller"):
        build(request=replace(REQUEST, environ={"AIRLOOM_STAGE_CONTEXT": "x" * 130_000}))


def test_memory_is_doubled_up_to_its_cap() -> None:
    profile = Profile(memory="2Gi", memory_max="5Gi")
    assert raise_memory(profile, "2Gi") == str(4 * 2**30)
    assert raise_memory(profile, str(4 * 2**30)) == str(5 * 2**30)
    assert raise_memory(profile, str(5 * 2**30)) is None
    assert raise_memory(Profile(), "2Gi") is None


@pytest.mark.parametrize("provider", ["gke", "eks", "eks-karpenter", "eks-auto", "aks"])
def test_an_identity_in_the_cloud_mounts_no_token_of_kubernetes(provider: str) -> None:
    pod = build(provider=provider, workload_identity=True)
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert [volume["name"] for volume in pod["spec"]["volumes"]] == ["tmp"]


def test_aks_gives_an_identity_to_pods_with_its_label_alone() -> None:
    label = "azure.workload.identity/use"
    assert build(provider="aks", workload_identity=True)["metadata"]["labels"][label] == "true"
    assert label not in build(provider="aks")["metadata"]["labels"]
    assert label not in build(provider="gke", workload_identity=True)["metadata"]["labels"]


def test_the_api_token_is_mounted_where_the_cluster_file_asks_for_it() -> None:
    assert build(mount_api_token=True)["spec"]["automountServiceAccountToken"] is True


KEYS = ("zone", "disk", "cloud.google.com/gke-spot")
EXPRESSIONS = st.one_of(
    st.builds(
        lambda key, operator, values: {"key": key, "operator": operator, "values": values},
        st.sampled_from(KEYS), st.sampled_from(["In", "NotIn"]),
        st.lists(st.sampled_from(["a", "true"]), min_size=1, unique=True),
    ),
    st.builds(
        lambda key, operator: {"key": key, "operator": operator},
        st.sampled_from(KEYS), st.sampled_from(["Exists", "DoesNotExist"]),
    ),
)  # fmt: skip
FIELDS = st.builds(
    lambda operator, name: {"key": "metadata.name", "operator": operator, "values": [name]},
    st.sampled_from(["In", "NotIn"]), st.sampled_from(["node-1", "node-2"]),
)  # fmt: skip
TERMS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "matchExpressions": st.lists(EXPRESSIONS, max_size=2),
            "matchFields": st.lists(FIELDS, max_size=1),
        },
    ),
    min_size=1,
    max_size=3,
)
PREFERRED = {
    "preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "preference": {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}}
    ]
}
AFFINITIES = st.one_of(
    st.none(),
    st.just({"nodeAffinity": PREFERRED}),
    TERMS.map(lambda terms: {"nodeAffinity": {**PREFERRED, REQUIRED: {"nodeSelectorTerms": terms}}}),
)
NODES = [
    {"metadata.name": name, **dict(zip(KEYS, labels, strict=True))}
    for name in ("node-1", "node-2")
    for labels in product((None, "a"), (None, "a"), (None, "true"))
]


def takes(affinity: dict[str, Any] | None, node: dict[str, str | None]) -> bool:
    """Whether the required part of a node affinity takes a node, as the scheduler reads it: any term, all of it."""
    required = ((affinity or {}).get("nodeAffinity") or {}).get(REQUIRED)
    if required is None:
        return True
    parts = [
        [*term.get("matchExpressions", ()), *term.get("matchFields", ())] for term in required["nodeSelectorTerms"]
    ]
    return any(part and all(meets(each, node.get(each["key"])) for each in part) for part in parts)


def meets(expression: dict[str, Any], value: str | None) -> bool:
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case _:
            return value is None


@given(AFFINITIES, AFFINITIES)
def test_on_demand_holds_beside_any_affinity_of_the_profile_and_its_template(
    profile: dict[str, Any] | None, template: dict[str, Any] | None
) -> None:
    wanted = {"capacity": "on-demand", "affinity": profile}
    if template is not None:
        wanted["podTemplate"] = {"spec": {"affinity": template}}
    affinity = build(wanted, provider="gke")["spec"]["affinity"]
    their_own = build({**wanted, "capacity": None}, provider="gke")["spec"].get("affinity")
    for node in NODES:
        assert takes(affinity, node) == (takes(their_own, node) and node["cloud.google.com/gke-spot"] is None)
    for own in (profile, template):
        if own is not None:
            assert affinity["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]


def test_a_templates_tolerations_take_none_of_the_placements_away() -> None:
    own = {"key": "team", "operator": "Exists"}
    pod = build({"capacity": "spot", "podTemplate": {"spec": {"tolerations": [own]}}}, provider="gke")
    assert [each["key"] for each in pod["spec"]["tolerations"]] == ["team", "cloud.google.com/gke-spot"]


def test_a_templates_volume_or_variable_replaces_ours_whole_and_a_volume_is_mounted_twice() -> None:
    large = {"name": "tmp", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}}
    token = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "given", "key": "token"}}}
    mounts = [{"name": "tmp", "mountPath": f"/{name}", "subPath": name} for name in ("one", "two")]
    stage = {"name": "stage", "env": [token], "volumeMounts": mounts}
    pod = build({"podTemplate": {"spec": {"volumes": [large], "containers": [stage]}}}, env={"TOKEN": "open"})
    assert pod["spec"]["volumes"] == [large]
    assert [each for each in container(pod)["env"] if each["name"] == "TOKEN"] == [token]
    assert [each["mountPath"] for each in container(pod)["volumeMounts"]] == ["/tmp", "/one", "/two"]


@pytest.mark.parametrize("place", ["nodeSelector", "podTemplate"])
def test_a_selector_that_contradicts_the_placement_is_refused(place: str) -> None:
    selector: dict[str, Any] = {"karpenter.sh/capacity-type": "spot"}
    own = (
        {"nodeSelector": selector} if place == "nodeSelector" else {"podTemplate": {"spec": {"nodeSelector": selector}}}
    )
    with pytest.raises(ConfigError, match=r"nodeSelector karpenter\.sh/capacity-type: 'spot'.*contradicts 'on-demand'"):
        build({"capacity": "spot", **own}, replace(REQUEST, capacity="on-demand"), provider="eks-karpenter")
    assert build({"capacity": "spot", **own}, provider="eks-karpenter")["spec"]["nodeSelector"] == selector
