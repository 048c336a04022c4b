"""Which nodes could take a pod, and what refusals of a quota mean."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fakes.cluster_admission import build_node

from airloom_airflow.doctor.cluster import find_node_trouble

Json = dict[str, Any]


def build_spec(**parts: Any) -> Json:
    return {"containers": [{"resources": {"requests": {"cpu": "2", "memory": "4Gi"}}}], **parts}


def require(*expressions: Json) -> Json:
    terms = {"nodeSelectorTerms": [{"matchExpressions": list(expressions)}]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}


TAINT = {"key": "spot", "value": "true", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("labels", "expression", "fits"),
    [
        ({"zone": "a"}, {"key": "zone", "operator": "In", "values": ["a", "b"]}, True),
        ({"zone": "c"}, {"key": "zone", "operator": "In", "values": ["a", "b"]}, False),
        ({"zone": "c"}, {"key": "zone", "operator": "NotIn", "values": ["a"]}, True),
        ({}, {"key": "spot", "operator": "DoesNotExist"}, True),
        ({"spot": "true"}, {"key": "spot", "operator": "DoesNotExist"}, False),
        ({"spot": "true"}, {"key": "spot", "operator": "Exists"}, True),
        ({"cores": "9"}, {"key": "cores", "operator": "Gt", "values": ["8"]}, True),
        ({"cores": "9"}, {"key": "cores", "operator": "Lt", "values": ["8"]}, False),
    ],
)
def test_node_affinity_is_read_as_the_scheduler_reads_it(labels: Json, expression: Json, fits: bool) -> None:
    trouble = find_node_trouble([build_node("n", labels)], build_spec(**require(expression)))
    assert (trouble is None) is fits


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({"key": "spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"}, True),
        ({"key": "spot", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "spot", "operator": "Equal", "value": "false"}, False),
        ({"key": "spot", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_taints_are_tolerated_as_the_scheduler_has_it(toleration: Json, fits: bool) -> None:
    trouble = find_node_trouble([build_node("n", taints=[TAINT])], build_spec(tolerations=[toleration]))
    assert (trouble is None) is fits


def test_a_cordoned_node_takes_nothing() -> None:
    node = build_node("n")
    node["spec"]["unschedulable"] = True
    assert "cordoned" in (find_node_trouble([node], build_spec()) or "")


def test_all_that_a_pod_asks_for_must_be_on_one_node() -> None:
    nodes = [build_node("large", cpu="1", memory="1Ti"), build_node("fast", cpu="64", memory="1Gi")]
    assert "asks for memory: 4Gi, and the most that a node that fits has" in (
        find_node_trouble(nodes, build_spec()) or ""
    )
    assert find_node_trouble([*nodes, build_node("both", cpu="2500m", memory="4194304Ki")], build_spec()) is None


def test_an_amount_beyond_our_units_is_enough() -> None:
    assert find_node_trouble([build_node("n", memory="2Pi")], build_spec()) is None
