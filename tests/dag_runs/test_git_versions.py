"""A run keeps the pipeline file that it started with: to its end, and when it is cleared after the branch moved on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow.dag_processing.bundles.base import unpack_bundle_version
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
from airflow.models.dag_version import DagVersion
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.session import create_session
from tests.dag_runs.worker import ExecutionApi, run_task, start_run
from tests.unit.airloom_airflow.git_remote import GitRemote
from tests.unit.airloom_airflow.pipelines import FULL

DAG_ID = "ops__versioned__train"
CLASS = "airloom_airflow.bundles.git.GitPipelineDagBundle"


def refresh() -> tuple[str | None, dict[str, str]]:
    """What the DAG processor does; the commit, and the import errors."""
    DagBundlesManager().sync_bundles_to_db()
    [bundle] = DagBundlesManager().get_all_dag_bundles()
    bundle.initialize()
    bundle.refresh()
    version, _ = unpack_bundle_version(bundle.get_current_version(), bundle)
    bag = BundleDagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
    sync_bag_to_db(bag, bundle.name, bundle_version=version)
    return version, bag.import_errors


def find_run_version(run_id: str) -> str | None:
    with create_session() as session:
        return session.query(DagRun).filter_by(dag_id=DAG_ID, run_id=run_id).one().bundle_version


def find_link(commit: str) -> str | None:
    """Where the web UI sends whoever wants to read what a version of the DAG was made from."""
    with create_session() as session:
        [version] = session.query(DagVersion).filter_by(dag_id=DAG_ID, bundle_version=commit)
        bundle = session.get(DagBundleModel, version.bundle_name)
        assert bundle is not None
        return bundle.render_url(version=version.bundle_version)


def clear(run_id: str) -> None:
    with create_session() as session:
        found = SerializedDagModel.get(DAG_ID, session=session)
        found.dag.clear(run_id=run_id, session=session)


@pytest.fixture
def remote(dags, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GitRemote:
    remote = GitRemote(tmp_path / "remote")
    given = {"tracking_ref": "main", "subdir": "pipelines", "git_conn_id": "pipelines"}
    given["view_url_template"] = "https://git.example/{version}/pipelines"
    bundle = {"name": "versions", "classpath": CLASS, "kwargs": given}
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    monkeypatch.setenv("AIRFLOW_CONN_PIPELINES", json.dumps({"conn_type": "git", "host": remote.url}))
    return remote


def test_a_run_keeps_its_pipeline_file_while_the_branch_breaks_and_moves_on(remote: GitRemote, tmp_path: Path):
    text = FULL.format(name="versioned", team="ops")
    first = remote.commit({"ops/versioned.yaml": text})
    assert refresh() == (first, {})
    start_run(DAG_ID, "old")
    remote.commit({"ops/versioned.yaml": text.replace("train:", "trian:")})
    _, errors = refresh()
    assert "trian" in errors["ops/versioned.yaml.py"]

    with ExecutionApi(tmp_path / "log") as api:
        state, log = run_task(api, (DAG_ID, "old", "ingest"), tmp_path / "disk")
        assert state == "success", log

        third = remote.commit({"ops/versioned.yaml": text.replace("retries: 3", "retries: 4")})
        assert refresh() == (third, {})
        start_run(DAG_ID, "new")
        clear("old")
        state, log = run_task(api, (DAG_ID, "old", "ingest"), tmp_path / "another")
        assert state == "success", log
    assert (find_run_version("old"), find_run_version("new")) == (first, third)
    assert [find_link(commit) for commit in (first, third)] == [
        f"https://git.example/{commit}/pipelines" for commit in (first, third)
    ]
    checkouts = {path.name for path in (tmp_path / "another/bundles/versions/versions").iterdir()}
    assert checkouts == {first}
