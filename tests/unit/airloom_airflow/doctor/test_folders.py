"""Where pipeline files lie, by Airflow's bundles: a folder, a bucket, a repository; and what of them cannot be had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.airloom_airflow.git_remote import GitRemote
from tests.unit.airloom_airflow.pipelines import OF_P

from airloom.settings import Settings, load_settings
from airloom_airflow.doctor.folders import PipelineFolders, find_folders
from airloom_airflow.doctor.pipelines import find_valid


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(tmp_path / "copies"))
    return load_settings({"AIRLOOM_HOME": str(tmp_path), "AIRLOOM_PIPELINES": str(tmp_path / "not-used")})


def configure(monkeypatch: pytest.MonkeyPatch, *bundles: dict[str, Any]) -> None:
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps(bundles))
    find_folders.cache_clear()


def build_bundle(classpath: str = "airloom_airflow.bundles.PipelineDagBundle", **kwargs: Any) -> dict[str, Any]:
    return {"name": "airloom", "classpath": classpath, "kwargs": {"refresh_interval": 30, **kwargs}}


def build_git_bundle(**kwargs: Any) -> dict[str, Any]:
    return build_bundle("airloom_airflow.bundles.git.GitPipelineDagBundle", tracking_ref="main", **kwargs)


def test_a_bundle_without_a_folder_reads_that_of_the_settings(settings, monkeypatch):
    configure(monkeypatch, build_bundle())
    assert find_folders(settings).paths == {settings.pipelines: str(settings.pipelines)}


def test_a_bundles_own_folder_is_read_and_no_other(settings, monkeypatch, tmp_path):
    own = tmp_path / "own"
    (own / "ops").mkdir(parents=True)
    (own / "ops" / "p.yaml").write_text(OF_P)
    configure(monkeypatch, build_bundle(pipelines=str(own)))
    assert find_folders(settings) == PipelineFolders({own: str(own)})
    assert [pipeline.full_name for _, pipeline in find_valid(settings)] == ["ops.p"]


def test_a_repositorys_files_are_brought_here(settings, monkeypatch, tmp_path):
    remote = GitRemote(tmp_path / "remote")
    remote.commit({"ops/p.yaml": OF_P})
    configure(monkeypatch, build_git_bundle(subdir="pipelines", repo_url=remote.url))
    ((folder, shown),) = find_folders(settings).paths.items()
    assert shown == "airloom@main/pipelines"
    assert folder.is_relative_to(tmp_path / "copies")
    assert [pipeline.full_name for _, pipeline in find_valid(settings)] == ["ops.p"]


def test_a_buckets_files_are_brought_here(settings, monkeypatch, tmp_path, s3_server, bucket):
    s3_server.client.put_object(Bucket=bucket, Key="models/ops/p.yaml", Body=OF_P.encode())
    configure(monkeypatch, build_bundle(pipelines=f"s3://{bucket}/models"))
    ((folder, shown),) = find_folders(settings).paths.items()
    assert shown == f"s3://{bucket}/models"
    assert folder.is_relative_to(tmp_path / "copies")
    assert [pipeline.full_name for _, pipeline in find_valid(settings)] == ["ops.p"]


@pytest.mark.parametrize(
    ("bundle", "words"),
    [
        (build_git_bundle(repo_url="file:///nowhere/at/all"), "nowhere/at/all"),
        (build_bundle(pipelines="relative"), "give an absolute path or s3://bucket/prefix"),
        (build_bundle(pipeline="/misspelt", pipelines="/x"), "unexpected keyword argument 'pipeline'"),
        (build_bundle("airloom_airflow.bundles.Pipelines", pipelines="/x"), "Pipelines"),
    ],
)
def test_a_bundle_whose_files_cannot_be_had_is_told(settings, monkeypatch, bundle, words):
    configure(monkeypatch, bundle)
    found = find_folders(settings)
    assert found.paths == {}
    (diagnosis,) = found.diagnoses
    assert (diagnosis.check, diagnosis.verdict, diagnosis.where) == ("pipeline files", "wrong", "bundle airloom")
    assert words in diagnosis.message
    assert list(find_valid(settings)) == []


def test_without_a_bundle_of_ours_no_folder_is_named(settings, monkeypatch):
    configure(monkeypatch, {"name": "x", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle"})
    assert find_folders(settings) == PipelineFolders(None)
