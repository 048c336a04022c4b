"""What every kind of tables must do; run on DuckDB."""

from __future__ import annotations

import gzip
import logging
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from pydantic import TypeAdapter
from tests.waiting import wait_until

from airloom.adapters.duckdb import DuckdbTables, database
from airloom.errors import ConfigError, DataError, UnavailableError, UserCodeError
from airloom.ports import Tables
from airloom.spec.sources import Sink, Source

CSV = "id,x,label\n1,0.5,yes\n2,,no\n3,NA,\n"


def source(**fields: Any) -> Source:
    return TypeAdapter[Source](Source).validate_python(fields)


def sink(**fields: Any) -> Sink:
    return TypeAdapter[Sink](Sink).validate_python(fields)


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return DuckdbTables(tmp_path, {"WAREHOUSE": str(tmp_path / "secret" / "w.duckdb")}.__getitem__)


def plain(path: Path) -> Path:
    path.write_text(CSV)
    return path


def gzipped(path: Path) -> Path:
    path = path.with_suffix(".csv.gz")
    path.write_bytes(gzip.compress(CSV.encode()))
    return path


def zipped(path: Path) -> Path:
    path = path.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inner.csv", CSV)
    return path


@pytest.mark.parametrize("write", [plain, gzipped, zipped])
def test_csv_is_read_with_its_types_and_its_gaps(tables: Tables, tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path / "rows.csv")
    frame = tables.load(source(type="csv", path=path.name), "rows")
    assert frame["id"].tolist() == [1, 2, 3]
    assert frame["x"].dtype == "float64"
    assert frame["x"].isna().tolist() == [False, True, True]
    assert frame["label"].isna().tolist() == [False, False, True]


def test_a_file_without_a_header_takes_the_names_that_it_is_given(tables: Tables, tmp_path: Path) -> None:
    (tmp_path / "bare.csv").write_text("made by hand\n1,2\n3,4\n")
    frame = tables.load(source(type="csv", path="bare.csv", columns=["a", "b"], skip_rows=1), "rows")
    assert frame.to_dict("list") == {"a": [1, 3], "b": [2, 4]}


def test_a_packages_data_is_read_without_running_its_code(tables: Tables) -> None:
    frame = tables.load(source(type="package", package="sklearn.datasets.data", path="iris.csv", skip_rows=0), "rows")
    assert len(frame) == 150
    with pytest.raises(DataError, match="leaves the package"):
        tables.load(source(type="package", package="sklearn.datasets", path="../../pandas/__init__.py"), "rows")
    with pytest.raises(DataError, match="no package 'nowhere_to_be_found'"):
        tables.load(source(type="package", package="nowhere_to_be_found", path="x.csv"), "rows")


def test_batches_are_read_as_one_and_a_new_one_is_a_new_identity(tables: Tables, tmp_path: Path) -> None:
    batches = source(type="batches", path="day-*.parquet")
    for day in (2, 1):
        pd.DataFrame({"day": [day]}).to_parquet(tmp_path / f"day-{day}.parquet")
    before = tables.identify(batches, "rows")
    assert tables.load(batches, "rows")["day"].tolist() == [1, 2]
    assert tables.identify(batches, "rows") == before
    pd.DataFrame({"day": [3]}).to_parquet(tmp_path / "day-3.parquet")
    assert tables.identify(batches, "rows") != before


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (pd.DataFrame({"a": [1]}), r"day-2.parquet lacks the column 'b'"),
        (pd.DataFrame({"a": [1], "b": ["x"], "c": [0]}), r"has a column 'c'"),
        (pd.DataFrame({"a": ["one"], "b": ["x"]}), r"column 'a' is VARCHAR in batch .*day-2.parquet, and BIGINT"),
    ],
)
def test_batches_of_another_shape_are_told_by_file_and_column(
    tables: Tables, tmp_path: Path, second: pd.DataFrame, message: str
) -> None:
    pd.DataFrame({"a": [1], "b": ["x"]}).to_parquet(tmp_path / "day-1.parquet")
    second.to_parquet(tmp_path / "day-2.parquet")
    with pytest.raises(DataError, match=message):
        tables.load(source(type="batches", path="day-*.parquet"), "rows")


def test_a_database_is_read_and_its_secret_address_never_told(tables: Tables, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    with duckdb.connect(str(tmp_path / "secret" / "w.duckdb")) as database:
        database.execute("CREATE TABLE t AS SELECT 1 AS a UNION ALL SELECT 2")
    found = source(type="sql", query="SELECT a FROM t ORDER BY a", database={"secret": "WAREHOUSE"})
    assert tables.load(found, "rows")["a"].tolist() == [1, 2]
    broken = source(type="sql", query="SELECT b FROM nowhere", database={"secret": "WAREHOUSE"})
    with pytest.raises(UserCodeError, match="its query fails on the secret WAREHOUSE") as raised:
        tables.load(broken, "rows")
    assert str(tmp_path / "secret") not in str(raised.value)
    with pytest.raises(ConfigError, match="no database"):
        tables.load(source(type="sql", query="SELECT 1", database="absent.duckdb"), "rows")


def test_queries_join_sources_into_files_that_are_the_same_each_time(tables: Tables, tmp_path: Path) -> None:
    plain(tmp_path / "rows.csv")
    sources = {"rows": source(type="csv", path="rows.csv"), "two": source(type="sql", query="SELECT 2 AS factor")}
    queries = {"scaled": "SELECT id * factor AS id FROM rows, two ORDER BY id"}
    (tmp_path / "once").mkdir()
    (tmp_path / "again").mkdir()
    once = tables.extract(sources, queries, tmp_path / "once")["scaled"]
    again = tables.extract(sources, queries, tmp_path / "again")["scaled"]
    assert tables.read(once)["id"].tolist() == [2, 4, 6]
    assert (tables.count(once), list(tables.columns(once))) == (3, ["id"])
    assert once.read_bytes() == again.read_bytes()
    with pytest.raises(UserCodeError, match="the query of 'scaled' does not run"):
        tables.extract(sources, {"scaled": "SELECT nothing FROM rows"}, tmp_path)
    with pytest.raises(DataError, match="'scaled' gives no rows"):
        tables.extract(sources, {"scaled": "FROM rows WHERE id > 9"}, tmp_path)


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("absent.csv", None, "there is no file"),
        ("empty.csv", b"", "has no bytes"),
        ("header.csv", b"a,b\n", "is empty: it has no rows"),
        ("torn.parquet", b"PAR1 but not for long", "cannot be read"),
        ("torn.zip", b"PK but not for long", "no zip file, or was cut off"),
        ("many-*.csv", None, "use `type: batches`"),
    ],
)
def test_a_faulty_file_is_told_by_source_and_path(
    tables: Tables, tmp_path: Path, path: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / path).write_bytes(content)
    kind = "parquet" if path.endswith(".parquet") else "csv"
    with pytest.raises(DataError, match=f"^source 'rows'.*{message}"):
        tables.load(source(type=kind, path=path), "rows")


def test_columns_of_a_query_are_known_without_running_it(tables: Tables, tmp_path: Path) -> None:
    plain(tmp_path / "rows.csv")
    sources = {"rows": source(type="csv", path="rows.csv")}
    assert tables.list_columns(sources, "SELECT id, error('it was run') AS y FROM rows", "data.query") == ("id", "y")
    with pytest.raises(UserCodeError, match=r"^data\.query does not run"):
        tables.list_columns(sources, "SELECT nothing FROM rows", "data.query")


def test_a_frame_is_written_with_the_same_bytes_each_time(tables: Tables, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, None], "t": pd.to_datetime(["2013-01-01", None])}, index=[7, 8])
    tables.write(frame, tmp_path / "one")
    tables.write(frame, tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    pd.testing.assert_frame_equal(
        tables.read(tmp_path / "one"), frame.reset_index(drop=True), check_dtype=False, check_index_type=False
    )


def test_scores_go_into_a_file_whole(tables: Tables, tmp_path: Path) -> None:
    where = tables.publish(pd.DataFrame({"p": [0.5]}), sink(type="parquet", path="out/scores.parquet"), "run-1")
    assert where == str(tmp_path / "out" / "scores.parquet")
    assert tables.read(Path(where))["p"].tolist() == [0.5]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["scores.parquet"]


def test_a_repeated_run_replaces_its_own_rows_in_a_table(tables: Tables, tmp_path: Path) -> None:
    place = sink(type="sql", database="w.duckdb", table="scores")
    tables.publish(pd.DataFrame({"p": [0.1, 0.2]}), place, "run-1")
    tables.publish(pd.DataFrame({"p": [0.3]}), place, "run-2")
    assert tables.publish(pd.DataFrame({"p": [0.4]}), place, "run-1") == f"{tmp_path / 'w.duckdb'}#scores"
    with pytest.raises(DataError, match=r"Name another table in score\.sink"):
        tables.publish(pd.DataFrame({"q": [0.1]}), place, "run-3")
    with duckdb.connect(str(tmp_path / "w.duckdb"), read_only=True) as database:
        rows = database.execute("SELECT p, airloom_run_id FROM scores ORDER BY p").fetchall()
    assert rows == [(0.3, "run-2"), (0.4, "run-1")]


HOLD = """\
import sys, duckdb
with duckdb.connect(sys.argv[1]) as database:
    database.execute("CREATE TABLE IF NOT EXISTS held AS SELECT 1 AS x")
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def hold(path: Path) -> Iterator[Callable[[], None]]:
    """Another process that has a database file open to write, until what this gives is called."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        yield other.stdin.close
        other.stdin.close()


def publish(tables: Tables) -> str:
    place = sink(type="sql", database={"secret": "WAREHOUSE"}, table="scores")
    return tables.publish(pd.DataFrame({"p": [0.5]}), place, "run-1")


def read_held(tables: Tables) -> list[int]:
    held = source(type="sql", database={"secret": "WAREHOUSE"}, query="FROM held")
    return tables.load(held, "rows")["x"].tolist()


@pytest.mark.parametrize(("use", "answer"), [(publish, "(secret)#scores"), (read_held, [1])])
def test_a_database_that_another_process_writes_to_is_waited_for_and_the_wait_is_logged(
    tables: Tables, tmp_path: Path, caplog: pytest.LogCaptureFixture, use: Callable[[Tables], Any], answer: Any
) -> None:
    caplog.set_level(logging.INFO, "airloom.adapters.duckdb")
    (tmp_path / "secret").mkdir()
    with hold(tmp_path / "secret" / "w.duckdb") as let_go, ThreadPoolExecutor(1) as pool:
        used = pool.submit(use, tables)
        wait_until(lambda: "is held by process" in caplog.text, "the wait is logged")
        assert not used.done()
        let_go()
        assert used.result(60) == answer
    assert "is free after" in caplog.text
    assert str(tmp_path) not in caplog.text


@pytest.mark.parametrize("use", [publish, read_held])
def test_a_database_that_another_process_keeps_is_given_up_as_a_passing_fault(
    tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Callable[[Tables], Any]
) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.3)
    (tmp_path / "secret").mkdir()
    with hold(tmp_path / "secret" / "w.duckdb"), pytest.raises(UnavailableError, match="was held by process") as told:
        use(tables)
    assert str(tmp_path) not in str(told.value)
