"""The artifacts endpoint inside Airflow's real web app: who may read, and what."""

from __future__ import annotations

import asyncio
import json
import os
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from fastapi.testclient import TestClient
from tests.unit.airloom_airflow import home

from airloom.errors import UnavailableError
from airloom_airflow.objects import open_object

LARGE = 24 * 2**20
"""Bytes of an object that must not be held whole."""


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
    def ask(path: str, method: str = "GET", **headers: str):
        client.cookies.clear()
        headers["Authorization"] = f"Bearer {token}"
        return client.request(method, f"/airloom/artifacts/{path}", headers=headers)

    return ask


@pytest.fixture
def permit(monkeypatch: pytest.MonkeyPatch):
    """Make the auth manager let users read these DAGs alone, and list DAGs, as FAB's does for whoever may read any."""

    def only(dag_ids: Iterable[str]) -> None:
        def is_authorized_dag(
            self: Any, *, method: str, user: Any, access_entity: Any = None, details: Any = None
        ) -> bool:
            return method == "GET" and (details is None or details.id is None or details.id in dag_ids)

        monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", is_authorized_dag)

    return only


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


@pytest.mark.parametrize("dag_id", ["ops__flight_delay__train", "ops__flight_delay__monitor"])
def test_who_may_read_a_dag_of_the_pipeline_reads_its_artifacts_and_no_others(get, root, permit, dag_id):
    paths = [
        "ops/flight_delay/runs/1/report.html",
        "ops/flight/runs/1/report.html",
        "research/flight_delay/report.html",
    ]
    for path in paths:
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text("rows")
    permit([dag_id])
    assert [get(path).status_code for path in paths] == [200, 403, 403]
    assert "rows" not in get(paths[1]).text


@pytest.mark.parametrize("path", ["ops/a%20b.json", "cache/0123/result.json", "Not_A/pipeline/result.json", "a.json"])
def test_what_is_no_pipelines_is_for_those_who_may_read_every_dag(get, permit, path):
    permit(["ops__flight_delay__train", "ops__flight_delay__features"])
    assert get(path).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "ops/flight_delay/../../research/flight_delay/report.html",
        "ops/flight_delay/%2e%2e/%2e%2e/research/flight_delay/report.html",
        "ops/flight_delay/..%2f..%2fresearch/flight_delay/report.html",
        "ops/flight_delay/./../../research/flight_delay/report.html",
        "ops/flight_delay//../../research/flight_delay/report.html",
        "ops/flight_delay/research/flight_delay/report.html",
    ],
)
def test_no_way_leads_from_one_pipeline_into_another(get, root, permit, path):
    (root / "research/flight_delay").mkdir(parents=True)
    (root / "research/flight_delay/report.html").write_text("rows")
    (root / "ops/flight_delay").mkdir()
    (root / "ops/flight_delay/research").symlink_to(root / "research")
    permit(["ops__flight_delay__train"])
    answer = get(path)
    assert answer.status_code in (403, 404)
    assert "rows" not in answer.text


def test_who_may_not_read_learns_nothing_of_what_there_is(get, permit):
    permit([])
    assert get("ops/docs/index.html").text == get("ops/docs/none.html").text


@pytest.mark.parametrize("headers", [{}, {"Cookie": "_token=nonsense"}])
def test_a_browser_that_is_not_logged_in_is_sent_to_the_login_and_back(client, root, headers):
    client.cookies.clear()
    path = "/airloom/artifacts/ops/docs/index.html?a=b%20c"
    answer = client.get(path, headers={"Accept": "text/html,application/xhtml+xml", **headers})
    assert answer.status_code == 303
    place = urlsplit(answer.headers["location"])
    assert place.path == "/auth/login"
    assert parse_qs(place.query) == {"next": [path]}


def test_only_a_browser_that_is_not_logged_in_is_sent_to_the_login(client, root, get, permit):
    client.cookies.clear()
    path = "/airloom/artifacts/ops/docs/index.html"
    assert client.get(path, headers={"Accept": "application/json"}).status_code == 401
    assert client.get(path, headers={"Accept": "text/html", "Authorization": "Bearer no"}).status_code == 403
    permit([])
    assert get("ops/docs/index.html", Accept="text/html").status_code == 403


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, root: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts an object into a store of either kind."""
    if request.param == "folder":
        return lambda path, content: (root / path).write_bytes(content)
    bucket, server = request.getfixturevalue("bucket"), request.getfixturevalue("s3_server")
    monkeypatch.setenv("AIRLOOM_ARTIFACTS_URI", f"s3://{bucket}/airloom")
    return lambda path, content: server.client.put_object(Bucket=bucket, Key=f"airloom/{path}", Body=content)


def test_a_part_of_an_object_and_its_size_alone_can_be_asked_for(get, store):
    store("ops/rows.parquet", b"0123456789")
    whole = get("ops/rows.parquet", "HEAD")
    assert (whole.status_code, whole.content, whole.headers["content-length"]) == (200, b"", "10")
    assert whole.headers["accept-ranges"] == "bytes"
    part = get("ops/rows.parquet", Range="bytes=2-4")
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert get("ops/rows.parquet", Range="bytes=-3").content == b"789"
    assert get("ops/rows.parquet", Range="bytes=50-").status_code == 416
    assert get("ops/none.parquet", "HEAD").status_code == 404


def test_a_large_object_is_never_held_whole(client, token, store):
    store("ops/large.parquet", bytes(LARGE))
    sizes: list[int] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()  # the client stays
        return {}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            sizes.append(len(message["body"]))
        else:
            assert message["status"] == 200

    path = "/airloom/artifacts/ops/large.parquet"
    headers = [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {token}".encode())]
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
             "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers,
             "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 1)}  # fmt: skip
    client.get(path, headers={"Authorization": f"Bearer {token}", "Range": "bytes=0-0"})  # loads what is loaded once
    tracemalloc.start()
    try:
        asyncio.run(client.app(scope, receive, send))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(sizes) == LARGE
    assert max(sizes) <= 2**20
    assert peak < LARGE / 3


def test_a_store_that_goes_away_meanwhile_ends_the_answer_as_a_failure(bucket, s3_server, monkeypatch):
    s3_server.client.put_object(Bucket=bucket, Key="large", Body=bytes(LARGE))
    found = open_object(f"s3://{bucket}/large")
    assert found is not None
    next(found.chunks)
    with s3_server.away(), pytest.raises(UnavailableError):
        for _ in found.chunks:
            pass
