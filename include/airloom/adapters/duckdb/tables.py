"""`Tables` on DuckDB, with pandas frames and Parquet files."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from airloom.errors import ConfigError, DataError, MissingExtraError, UnavailableError, UserCodeError

try:
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise MissingExtraError(error.name or "duckdb", "duckdb") from error

from airloom.adapters.duckdb.database import CONFIG, open_database
from airloom.adapters.duckdb.sources import SourceOpener
from airloom.spec.sources import ParquetSink, SecretRef, Sink, Source, SqlSink, SqlSource

if TYPE_CHECKING:
    import pandas as pd

_RUN_COLUMN = "airloom_run_id"


class DuckdbTables:
    """See `airloom.ports.tables.Tables`.

    Args:
        data_root: what relative paths start from.
        secret: gives a secret's value.
    """

    def __init__(self, data_root: Path, secret: Callable[[str], str]) -> None:
        self._data_root = data_root
        self._secret = secret

    def identify(self, source: Source, name: str) -> str:
        digest = hashlib.sha256(source.model_dump_json().encode())
        with self._opener() as opener:
            for path in opener.files(name, source):
                digest.update(path.name.encode())
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            if isinstance(source, SqlSource):
                path = opener.folder / "identified.parquet"
                _write_arrow(opener.open(name, source).to_arrow_table(), path)
                digest.update(path.read_bytes())
        return digest.hexdigest()

    def extract(self, sources: Mapping[str, Source], queries: Mapping[str, str], folder: Path) -> dict[str, Path]:
        written: dict[str, Path] = {}
        with self._opener() as opener:
            for name, source in sources.items():
                opener.open(name, source).create_view(name)
            for name, query in queries.items():
                path = folder / f"{name}.parquet"
                with _running(f"the query of {name!r}", sources):
                    table = opener.connection.sql(f"FROM (\n{query}\n)").to_arrow_table()
                if table.num_rows == 0:
                    raise DataError(f"the query of {name!r} gives no rows")
                _write_arrow(table, path)
                written[name] = path
        return written

    def list_columns(self, sources: Mapping[str, Source], query: str, name: str) -> tuple[str, ...]:
        with self._opener() as opener:
            for each, source in sources.items():
                opener.open(each, source).create_view(each)
            with _running(name, sources):
                return tuple(opener.connection.sql(f"FROM (\n{query}\n)").columns)

    def columns(self, path: Path) -> dict[str, str]:
        schema = pq.read_schema(path)
        return {field.name: str(field.type) for field in schema}

    def count(self, path: Path) -> int:
        return int(pq.read_metadata(path).num_rows)

    def read(self, path: Path) -> pd.DataFrame:
        return pq.read_table(path).to_pandas()

    def write(self, frame: pd.DataFrame, path: Path) -> None:
        _write_arrow(pa.Table.from_pandas(frame, preserve_index=False), path)

    def load(self, source: Source, name: str) -> pd.DataFrame:
        with self._opener() as opener:
            return opener.open(name, source).to_arrow_table().to_pandas()

    def publish(self, frame: pd.DataFrame, sink: Sink, run_id: str) -> str:
        if isinstance(sink, ParquetSink):
            return self._publish_file(frame, sink)
        return self._publish_table(frame, sink, run_id)

    def _publish_file(self, frame: pd.DataFrame, sink: ParquetSink) -> str:
        path = self._place(sink.path)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.write(frame, part)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            raise UnavailableError(f"cannot write {path}: {error}") from error
        finally:
            part.unlink(missing_ok=True)
        return str(path)

    def _publish_table(self, frame: pd.DataFrame, sink: SqlSink, run_id: str) -> str:
        secret = isinstance(sink.database, SecretRef)
        place = self._secret(sink.database.secret) if isinstance(sink.database, SecretRef) else sink.database
        path = self._place(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = frame.assign(**{_RUN_COLUMN: run_id})
        try:
            with open_database(path, "the database of score.sink", read_only=False) as database:
                database.register("scored", rows)
                database.execute(f'CREATE TABLE IF NOT EXISTS "{sink.table}" AS FROM scored LIMIT 0')
                existing = [row[0] for row in database.execute(f'DESCRIBE "{sink.table}"').fetchall()]
                if set(existing) != set(rows.columns):
                    raise DataError(
                        f"table {sink.table!r} has the columns {', '.join(existing)}, and the scores have "
                        f"{', '.join(rows.columns)}. Name another table in score.sink"
                    )
                database.begin()
                database.execute(f'DELETE FROM "{sink.table}" WHERE {_RUN_COLUMN} = ?', [run_id])
                database.execute(f'INSERT INTO "{sink.table}" BY NAME FROM scored')
                database.commit()
        except (duckdb.IOException, duckdb.TransactionException) as error:
            text = "its address is secret" if secret else str(error)
            raise UnavailableError(f"the database of score.sink cannot be written: {text}") from None
        except duckdb.Error as error:
            raise DataError(f"the scores cannot be written to table {sink.table!r}: {error}") from None
        return f"{'(secret)' if secret else path}#{sink.table}"

    def _place(self, path: str) -> Path:
        if "://" in path:
            raise ConfigError(
                f"{path.partition('://')[0]}:// is no place that this installation writes to; give a path"
            )
        return Path(path) if Path(path).is_absolute() else self._data_root / path

    @contextmanager
    def _opener(self) -> Iterator[SourceOpener]:
        with (
            tempfile.TemporaryDirectory(prefix="airloom-sources-") as folder,
            duckdb.connect(config=dict(CONFIG)) as connection,
        ):
            connection.execute("SET file_search_path = ?", [str(self._data_root)])
            connection.execute("SET TimeZone = 'UTC'")  # a time without a zone means the same on every machine
            yield SourceOpener(connection, self._data_root, self._secret, Path(folder))


@contextmanager
def _running(name: str, sources: Iterable[str]) -> Iterator[None]:
    """DuckDB's exceptions as ours, while a query of that name runs."""
    try:
        yield
    except duckdb.Error as error:
        raise UserCodeError(f"{name} does not run: {error}\nThe sources are: {', '.join(sources)}") from error


def _write_arrow(table: pa.Table, path: Path) -> None:
    """The same rows give the same bytes: no pandas metadata, no clock."""
    pq.write_table(table.replace_schema_metadata(None), path, compression="zstd", use_dictionary=True)
