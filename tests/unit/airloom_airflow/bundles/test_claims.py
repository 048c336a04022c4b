"""Which pipeline a file claims is which pipeline it is: what tasks look for is what the DAG processor made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.airloom_airflow.pipelines import OF_P, write_pipeline

from airloom.errors import Finding, SpecError
from airloom.spec import load_pipeline
from airloom.spec.ownership import Claim
from airloom_airflow.bundles.claims import find_claimants, list_pipeline_files, read_claim

_NAMES = ("iris", "ops", "ml", "a-b", "iris ", " ops", "Iris", "a__b", "1st", "x" * 63, "x" * 64, "", "ops\n", "î")
values = st.sampled_from(_NAMES) | st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just([])
likely = st.sampled_from(["ops", "ml"])
metadata = st.fixed_dictionaries({}, optional={"name": st.just("iris") | values, "team": likely | values})
layers = (
    st.none()
    | st.fixed_dictionaries({"metadata": st.fixed_dictionaries({"team": likely})})
    | st.fixed_dictionaries({}, optional={"metadata": metadata | values})
)
"""A file of defaults; None: none."""


def write_layer(path: Path, data: Any) -> None:
    if data is not None:
        path.write_text(json.dumps(data, ensure_ascii=False))  # which YAML is too


def load(path: Path, root: Path) -> tuple[Claim | None, list[Finding]]:
    try:
        pipeline = load_pipeline(path, root)
    except SpecError as error:
        return None, list(error.findings)
    return Claim(pipeline.metadata.team, pipeline.metadata.name), []


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=st.sampled_from(["p.yaml", "ops/p.yaml"]), own=metadata, of_root=layers, of_team=layers)
def test_a_file_claims_the_pipeline_that_it_is(tmp_path, file, own, of_root, of_team):
    root = tmp_path / "pipelines"
    shutil.rmtree(root, ignore_errors=True)
    (root / "ops").mkdir(parents=True)
    write_layer(root / "defaults.yaml", of_root)
    write_layer(root / "ops" / "defaults.yaml", of_team)
    of_p = OF_P.replace("{name: p}", json.dumps(own, ensure_ascii=False))
    (root / file).write_text(of_p)
    claim = read_claim(root, file, of_p.encode())
    loaded, findings = load(root / file, root)
    if loaded is not None:
        assert claim == loaded
        assert find_claimants(root, claim) == [file]
        return
    if claim is None:
        assert {finding.path for finding in findings} & {"", "metadata", "metadata.name", "metadata.team"}
    else:
        own_faults = {finding.path for finding in findings if Path(finding.file) == root / file}
        assert not own_faults & {"metadata.name", "metadata.team"}


@pytest.mark.parametrize("name", [r'"ir\x69s"', r'"\u0069ris"', '"ir\\\n    is"', "&name iris", "'iris'"])
def test_a_name_that_yaml_writes_otherwise_is_found(pipelines, name):
    path = write_pipeline(pipelines, name, file="other.yaml")
    assert load_pipeline(path, pipelines).full_name == "ops.iris"
    assert find_claimants(pipelines, Claim("ops", "iris")) == ["ops/other.yaml"]


def test_a_file_that_is_no_file_is_among_those_that_bear_the_pipelines_name(pipelines, tmp_path):
    (pipelines / "ops" / "p.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    assert find_claimants(pipelines, Claim("ops", "p")) == ["ops/p.yaml"]


def test_nothing_behind_a_link_out_of_the_folder_is_listed(pipelines, tmp_path):
    outside = tmp_path / "outside"
    write_pipeline(outside, "p", team=".")
    write_pipeline(pipelines, "good")
    (pipelines / "notes.txt").symlink_to(outside / "p.yaml")
    (pipelines / "away").symlink_to(outside)
    (pipelines / "x.yaml").symlink_to(outside)
    (pipelines / ".hidden").symlink_to(outside)
    assert [file for file, _ in list_pipeline_files(pipelines)] == ["x.yaml", "away", "ops/good.yaml"]
    assert find_claimants(pipelines, Claim("away", "p")) == ["away/p.yaml"]  # whose text is not read
    assert find_claimants(pipelines, Claim("away", "q")) == []
