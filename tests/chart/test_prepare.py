"""What the chart's pods do before their own work (files/prepare.py), on a real PostgreSQL."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.chart.helm import CHART, ROOT
from tests.executors.servers import Postgres
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(300, func_only=True)
_AIRFLOW, _STAGES = (ROOT / ".venv" / side / "bin" for side in ("airflow", "stages"))


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with Postgres() as made:
        yield made


@contextmanager
def prepare(what: str, folder: Path, side: Path = _AIRFLOW, **environ: str) -> Iterator[tuple[subprocess.Popen, Path]]:
    """Start it; gives the process and its output."""
    output = folder / "output"
    given = {
        "PATH": f"{side}{os.pathsep}{os.environ['PATH']}", "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRLOOM_DATABASE_SECRET": "our-database", "AIRFLOW__CORE__LOAD_EXAMPLES": "False", **environ,
    }  # fmt: skip
    with output.open("wb") as file:
        process = subprocess.Popen(
            [side / "python", CHART / "files" / "prepare.py", what], env=given, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        yield process, output
    finally:
        process.kill()
        process.wait()


def test_parts_wait_for_a_database_that_is_away_and_for_its_migration(postgres: Postgres, tmp_path: Path) -> None:
    address = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres.url}
    (tmp_path / "wait").mkdir()
    (tmp_path / "migrate").mkdir()
    with (
        postgres.away(15),
        prepare("wait", tmp_path / "wait", **address) as (waiting, words),
    ):
        wait_until(lambda: "waiting for the database 127.0.0.1" in words.read_text(), "it says what it waits for")
        assert "as airflow (Secret our-database): " in words.read_text()
        assert postgres.password not in words.read_text()
        assert waiting.poll() is None
    with prepare("wait", tmp_path / "wait", **address) as (waiting, words):
        wait_until(lambda: "Waiting for migrations" in words.read_text(), "it waits for the migration", 120)
        with prepare("migrate", tmp_path / "migrate", **address) as (migrating, _):
            assert migrating.wait(200) == 0
        assert waiting.wait(60) == 0


def test_a_wrong_password_is_named_and_waited_out(postgres: Postgres, tmp_path: Path) -> None:
    wrong = postgres.url.replace(postgres.password, "wrong")
    with prepare("wait", tmp_path, AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=wrong) as (process, words):
        wait_until(lambda: "password authentication failed" in words.read_text(), "the reason is told")
        assert "Secret our-database" in words.read_text()
        assert process.poll() is None


def test_a_database_of_another_kind_is_refused(tmp_path: Path) -> None:
    with prepare("migrate", tmp_path, AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="mysql://a:b@c/d") as (process, words):
        assert process.wait(60) == 1
    assert "Secret our-database has an address of mysql; give one of postgresql+psycopg2://" in words.read_text()


def test_mlflows_database_is_made_where_it_is_missing_and_left_where_it_is_there(
    postgres: Postgres, tmp_path: Path
) -> None:
    address = {"MLFLOW_BACKEND_STORE_URI": f"{postgres.url.rpartition('/')[0]}/mlflow"}
    for expected in ("made the database mlflow", ""):
        with prepare("mlflow", tmp_path, _STAGES, **address) as (process, words):
            assert process.wait(60) == 0, words.read_text()
        assert words.read_text().strip() == expected
    assert postgres.ask("SELECT 1", "mlflow") == "1"


def test_mlflows_tables_are_brought_up_to_date(postgres: Postgres, tmp_path: Path) -> None:
    """A database that has tables is one of an earlier MLflow, perhaps."""
    assert postgres.ask("CREATE DATABASE earlier", "postgres") is not None
    address = f"{postgres.url.rpartition('/')[0]}/earlier"
    script = (
        "from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore; import sys; SqlAlchemyStore(*sys.argv[1:])"
    )
    subprocess.run([_STAGES / "python", "-c", script, address, str(tmp_path / "files")], check=True, timeout=120)
    version = postgres.ask("SELECT version_num FROM alembic_version", "earlier")
    with prepare("mlflow", tmp_path, _STAGES, MLFLOW_BACKEND_STORE_URI=address) as (process, words):
        assert process.wait(120) == 0, words.read_text()
    assert postgres.ask("SELECT version_num FROM alembic_version", "earlier") == version


def test_a_part_is_alive_by_its_own_heartbeat_or_while_the_database_is_away(postgres: Postgres, tmp_path: Path) -> None:
    own = socket.gethostbyname(socket.getfqdn())
    with prepare("migrate", tmp_path, AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=postgres.url) as (process, _):
        assert process.wait(200) == 0

    def ask(what: str) -> int:
        environ = {**os.environ, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres.url}
        command = [_AIRFLOW / "python", CHART / "files" / "alive.py", "TriggererJob", what]
        return subprocess.run(command, env=environ, check=False, timeout=60).returncode

    def beat(host: str, when: str) -> None:
        assert postgres.ask("DELETE FROM job") is not None
        columns = "job_type, state, hostname, start_date, latest_heartbeat"
        assert postgres.ask(f"INSERT INTO job ({columns}) VALUES ('TriggererJob', 'running', '{host}', {when}, {when})")

    for host, when, expected in (
        (own, "now()", 0),
        (own, "now() - interval '3 minutes'", 1),
        ("192.0.2.1", "now()", 1),
    ):
        beat(host, when)
        assert [ask("started"), ask("alive")] == [expected, expected], (host, when)
    with postgres.away(15):
        assert [ask("started"), ask("alive")] == [1, 0]
