"""The artifacts endpoint inside Airflow's real web app: who may read, and what."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.unit.airloom_airflow import home


@pytest.fixture(scope="module")
def client(database) -> TestClient:
    from airflow.api_fastapi.app import create_app

    return TestClient(create_app(apps="core"), base_url="http://127.0.0.1:1", follow_redirects=False)


@pytest.fixture(scope="module")
def token(client: TestClient) -> str:
    answer = client.post("/auth/token", json={"username": "admin", "password": home.PASSWORD})
    return str(answer.json()["access_token"])


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "artifacts"
    (root / "ops" / "docs").mkdir(parents=True)
    (root / "ops" / "docs" / "index.html").write_text("<h1>docs</h1>")
    (root / "ops" / "a b.json").write_text("{}")
    (tmp_path / "secret.txt").write_text("secret")
    (root / "ops" / "link.txt").symlink_to(tmp_path / "secret.txt")
    (root / "ops" / "parent").symlink_to(tmp_path)
    monkeypatch.setenv("AIRLOOM_ARTIFACTS_URI", root.as_uri())
    return root


@pytest.fixture
def get(client: TestClient, token: str, root: Path):
    def ask(path: str):
        client.cookies.clear()
        return client.get(f"/airloom/artifacts/{path}", headers={"Authorization": f"Bearer {token}"})

    return ask


@pytest.mark.parametrize(
    ("path", "kind"), [("ops/docs/index.html", "text/html; charset=utf-8"), ("ops/a%20b.json", "application/json")]
)
def test_a_person_who_is_logged_in_reads_a_file(get, path, kind):
    answer = get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == kind


def test_a_browser_that_is_logged_in_needs_no_header(client, token, root):
    client.cookies.clear()
    answer = client.get("/airloom/artifacts/ops/a%20b.json", headers={"Cookie": f"_token={token}"})
    assert answer.json() == {}


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"Authorization": "Bearer nonsense"}, 403), ({"Cookie": "_token=nonsense"}, 403)],
)
@pytest.mark.parametrize("path", ["ops/a%20b.json", "ops/none.json"])
def test_nobody_else_reads_or_learns_what_there_is(client, root, headers, status, path):
    client.cookies.clear()
    assert client.get(f"/airloom/artifacts/{path}", headers=headers).status_code == status


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "ops/../../secret.txt",
        "..%2fsecret.txt",
        "%2e%2e/secret.txt",
        "%2e%2e%2fsecret.txt",
        "..%5csecret.txt",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "ops/link.txt",
        "ops/parent/secret.txt",
        "ops%00.json",
        "ops",
        "ops/docs",
        "",
        "ops/none.json",
        "a" * 5000,
    ],
)
def test_nothing_outside_the_store_is_served(get, path):
    answer = get(path)
    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_a_reports_scripts_do_not_act_as_the_person_who_reads_it(get):
    headers = get("ops/docs/index.html").headers
    assert headers["content-security-policy"].startswith("sandbox")
    assert "allow-same-origin" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_an_object_of_a_bucket_is_served(get, bucket, s3_server, monkeypatch):
    monkeypatch.setenv("AIRLOOM_ARTIFACTS_URI", f"s3://{bucket}/airloom")
    s3_server.client.put_object(Bucket=bucket, Key="airloom/ops/a b.json", Body=b"{}")
    s3_server.client.put_object(Bucket=bucket, Key="secret.json", Body=b"{}")
    answer = get("ops/a%20b.json")
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"{}", "application/json")
    assert "sandbox" in answer.headers["content-security-policy"]
    for path in ("ops/none.json", "%2e%2e/secret.json", "..%2fsecret.json"):
        assert get(path).status_code == 404
    with s3_server.away():
        assert get("ops/a%20b.json").status_code == 503


def test_a_served_file_cannot_be_changed(client, token, root):
    headers = {"Authorization": f"Bearer {token}"}
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, "/airloom/artifacts/ops/a%20b.json", headers=headers).status_code == 405
    assert json.loads((root / "ops" / "a b.json").read_text()) == {}
    assert os.environ["AIRLOOM_ARTIFACTS_URI"] == root.as_uri()
