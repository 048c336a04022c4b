"""The chart's values: each is described, used, and checked by its schema; what is missing is asked for by name."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import yaml
from tests.chart.helm import CHART, ROOT, render
from tests.checks.chart_reference import build_schema, read_values
from tests.cluster.local.programs import ClusterError

from airloom.spec.quantity import parse_quantity

_VALUES = (CHART / "values.yaml").read_text()
_EXTERNAL: dict[str, Any] = {
    "postgresql": {"enabled": False},
    "minio": {"enabled": False},
    "data": {"metadataSecretName": "airflow-database"},
    "mlflow": {"databaseSecretName": "mlflow-database"},
    "objectStore": {"uri": "s3://models/airloom"},
}


def test_the_schema_is_made_of_the_values() -> None:
    assert (CHART / "values.schema.json").read_text() == build_schema()


def test_a_value_without_a_description_is_refused() -> None:
    with pytest.raises(ValueError, match=r"part\.size has no comment"):
        list(read_values("part:\n  size: 3\n"))


def test_a_value_that_may_hold_anything_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing says what labels may hold"):
        list(read_values("# -- Labels.\nlabels: {}\n"))


def test_every_value_is_used() -> None:
    templates = "\n".join(path.read_text() for path in (CHART / "templates").rglob("*") if path.is_file())
    parts = {"apiServer", "scheduler", "dagProcessor", "triggerer"}
    for value in read_values(_VALUES):
        section, _, key = value.path.rpartition(".")
        used = rf"Values\.{re.escape(value.path)}\b"
        if section in parts | {"postgresql", "minio"}:
            used += rf"|\.given\.{key}\b"
        elif section in ("ingress", "gatewayApi"):
            used += rf"|index \$\.Values\.{section} \$key"
        elif section == "pipelines":
            used += rf"|\$given\.{key}\b"
        elif section == "pipelines.git":
            used += rf"|\.git\.{key}\b"
        assert re.search(used, templates), f"{value.path} is used by no template"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"schduler": {}}, "'schduler' not allowed"),
        ({"scheduler": {"replica": 2}}, "at '/scheduler': additional properties 'replica' not allowed"),
        ({"mlflow": {"resources": {"request": {}}}}, "at '/mlflow/resources': additional properties 'request'"),
        ({"teams": {"ops": {"qota": {}}}}, "at '/teams/ops': additional properties 'qota'"),
        ({"cluster": {"profiles": {"cpu-small": {"memori": "1Gi"}}}}, "'memori' not allowed"),
        ({"tolerations": [{"efect": "NoSchedule"}]}, "at '/tolerations/0': additional properties 'efect'"),
        ({"executor": "CeleryExecutor"}, "at '/executor': value must be one of"),
        ({"apiServer": {"replicas": 0}}, "at '/apiServer/replicas': minimum"),
        ({"objectStore": {"uri": "models"}}, "at '/objectStore/uri'"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_the_name_of_its_key(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ClusterError, match=re.escape(words)):
        render(values)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("data", "postgresql.enabled is false: give data.metadataSecretName"),
        ("mlflow", "postgresql.enabled is false: give mlflow.databaseSecretName"),
        ("objectStore", "minio.enabled is false: give objectStore.uri"),
    ],
)
def test_what_an_external_server_needs_is_asked_for(section: str, words: str) -> None:
    render(_EXTERNAL)
    values = copy.deepcopy(_EXTERNAL)
    del values[section]
    with pytest.raises(ClusterError, match=re.escape(words)):
        render(values)


def test_without_airflow_and_mlflow_the_address_of_mlflow_is_asked_for() -> None:
    with pytest.raises(ClusterError, match=r"give mlflow\.url"):
        render({"mlflow": {"enabled": False}})


def test_pipelines_of_git_need_a_repository() -> None:
    with pytest.raises(ClusterError, match=r"give pipelines\.git\.repository or pipelines\.git\.existingSecret"):
        render({"pipelines": {"source": "git"}})


def test_the_defaults_hold_no_secret() -> None:
    for name in yaml.safe_load(_VALUES)["keys"]:
        assert name == "existingSecret"
    assert not re.search(r"(?i)^\s*(password|.*key):\s*\S", _VALUES, re.MULTILINE)


def test_the_page_tells_what_the_parts_ask_for() -> None:
    containers = [
        container
        for each in render()
        if each["kind"] in ("Deployment", "StatefulSet")
        for container in each["spec"]["template"]["spec"]["containers"]
    ]
    requests = [container["resources"]["requests"] for container in containers]
    cpu = sum(parse_quantity(each["cpu"]) for each in requests)
    memory = sum(parse_quantity(each["memory"]) for each in requests) / 2**30
    page = (ROOT / "docs" / "install-with-helm.md").read_text()
    assert f"{cpu:.2f} processors and {memory:.1f} GiB in all" in page
