"""Opens a pipeline's sources as DuckDB views. Files are found and checked here, before DuckDB sees them."""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from airloom.adapters.duckdb.database import open_database
from airloom.errors import ConfigError, DataError, UserCodeError
from airloom.spec.sources import (
    BatchesSource,
    CsvSource,
    PackageSource,
    ParquetSource,
    SecretRef,
    Source,
    SqlSource,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

_NULLS = "['', 'NA', 'NULL', 'null', 'NaN', 'nan']"
"""What CSV files write where there is no value."""


@dataclass(frozen=True)
class SourceOpener:
    """Opens sources in one connection.

    Attributes:
        data_root: what relative paths start from.
        secret: gives a secret's value.
        folder: scratch folder for what must be unpacked.
    """

    connection: DuckDBPyConnection
    data_root: Path
    secret: Callable[[str], str]
    folder: Path
    _attached: dict[str, str] = field(default_factory=dict)

    def open(self, name: str, source: Source) -> DuckDBPyRelation:
        """The source as a relation.

        Args:
            name: the source's name, for messages.

        Errors:
            DataError: it is missing, empty, or its batches differ in shape. UserCodeError: its SQL does not run.
        """
        if isinstance(source, SqlSource):
            relation = self._query(name, source)
        elif isinstance(source, BatchesSource):
            relation = self._batches(name, self.files(name, source))
        else:
            relation = self._file(name, self.files(name, source)[0], source)
        if not relation.limit(1).fetchall():
            raise DataError(f"source {name!r} is empty: it has no rows. Give it data, or take it out")
        return relation

    def files(self, name: str, source: Source) -> list[Path]:
        """The files behind a source, sorted; none for SQL.

        Errors:
            DataError: there is no such file, or nothing matches.
        """
        if isinstance(source, SqlSource):
            return []
        if isinstance(source, PackageSource):
            return [_package_file(name, source)]
        path = Path(source.path)
        path = path if path.is_absolute() else self.data_root / path
        if isinstance(source, BatchesSource):
            found = sorted(match for match in _glob(path) if match.is_file())
            if not found:
                raise DataError(f"source {name!r}: no file matches {path}. Relative paths start from {self.data_root}")
            return found
        if has_magic(source.path):
            raise DataError(f"source {name!r}: {source.path!r} names many files; use `type: batches` for a glob")
        if not path.is_file():
            raise DataError(f"source {name!r}: there is no file {path}. Relative paths start from {self.data_root}")
        return [path]

    def _file(self, name: str, path: Path, source: CsvSource | ParquetSource | PackageSource) -> DuckDBPyRelation:
        if path.stat().st_size == 0:
            raise DataError(f"source {name!r} is empty: {path} has no bytes")
        if path.suffix == ".parquet":
            return self._run(name, "FROM read_parquet(?)", [str(path)])
        columns = () if isinstance(source, ParquetSource) else source.columns
        skip = 0 if isinstance(source, ParquetSource) else source.skip_rows
        return self._csv(name, path, columns, skip)

    def _csv(self, name: str, path: Path, columns: Sequence[str], skip: int) -> DuckDBPyRelation:
        if path.suffix == ".zip":
            path = self._unzip(name, path)
        header = "header = false, names = ?" if columns else "header = true"
        sql = f"FROM read_csv(?, {header}, skip = {skip}, nullstr = {_NULLS}, sample_size = -1)"
        return self._run(name, sql, [str(path), list(columns)] if columns else [str(path)])

    def _unzip(self, name: str, path: Path) -> Path:
        try:
            with zipfile.ZipFile(path) as archive:
                members = [member for member in archive.namelist() if not member.endswith("/")]
                if len(members) != 1:
                    raise DataError(f"source {name!r}: {path} holds {len(members)} files; one is allowed")
                target = self.folder / f"unzipped-{name}"
                target.mkdir(exist_ok=True)
                return Path(archive.extract(members[0], target))
        except zipfile.BadZipFile as error:
            raise DataError(f"source {name!r}: {path} is no zip file, or was cut off") from error

    def _batches(self, name: str, files: list[Path]) -> DuckDBPyRelation:
        """All batches as one; every one has the first one's columns and types."""
        first: dict[str, str] | None = None
        relations = []
        for path in files:
            if path.stat().st_size == 0:
                raise DataError(f"source {name!r}: batch {path} is empty")
            if path.suffix == ".parquet":
                relation = self._run(name, "FROM read_parquet(?)", [str(path)])
            else:
                relation = self._csv(name, path, (), 0)
            shape = dict(zip(relation.columns, map(str, relation.types), strict=True))
            first = first or shape
            _require_same_shape(name, path, shape, files[0], first)
            relations.append((path, relation))
        if all(path.suffix == ".parquet" for path in files):
            return self._run(name, "FROM read_parquet(?)", [[str(path) for path in files]])
        union = relations[0][1]
        for _, relation in relations[1:]:
            union = union.union(relation.project(", ".join(f'"{column}"' for column in first or {})))
        return union

    def _query(self, name: str, source: SqlSource) -> DuckDBPyRelation:
        if source.database is None:
            return self._run(name, source.query, [])
        reference = source.database
        place = self.secret(reference.secret) if isinstance(reference, SecretRef) else reference
        label = f"the secret {reference.secret}" if isinstance(reference, SecretRef) else repr(reference)
        path = Path(place) if Path(place).is_absolute() else self.data_root / place
        if "://" not in place and not place.startswith("md:") and not path.is_file():
            raise ConfigError(f"source {name!r}: there is no database {label}. Relative paths start from the data root")
        try:
            with open_database(path, f"the database of source {name!r}", read_only=True) as database:
                table = database.sql(f"FROM (\n{source.query}\n)").to_arrow_table()
        except duckdb.Error as error:
            raise UserCodeError(f"source {name!r}: its query fails on {label}: {_mask(error, place)}") from None
        return self.connection.from_arrow(table)

    def _run(self, name: str, sql: str, parameters: list[object]) -> DuckDBPyRelation:
        try:
            return (
                self.connection.sql(sql, params=parameters) if parameters else self.connection.sql(f"FROM (\n{sql}\n)")
            )
        except duckdb.Error as error:
            if parameters:
                raise DataError(f"source {name!r} cannot be read from {parameters[0]}: {error}") from error
            raise UserCodeError(f"source {name!r}: its query does not run: {error}") from error


def _require_same_shape(name: str, path: Path, shape: dict[str, str], first_path: Path, first: dict[str, str]) -> None:
    lacking = [column for column in first if column not in shape]
    added = [column for column in shape if column not in first]
    changed = [column for column in first if column in shape and shape[column] != first[column]]
    if lacking:
        raise DataError(f"source {name!r}: batch {path} lacks the column {lacking[0]!r} that {first_path} has")
    if added:
        raise DataError(f"source {name!r}: batch {path} has a column {added[0]!r} that {first_path} has not")
    if changed:
        column = changed[0]
        raise DataError(
            f"source {name!r}: column {column!r} is {shape[column]} in batch {path}, and {first[column]} in "
            f"{first_path}. Make all batches of one type"
        )


def _glob(path: Path) -> Iterator[Path]:
    root = Path(path.anchor)
    return root.glob(str(path.relative_to(root)))


def _package_file(name: str, source: PackageSource) -> Path:
    """A data file of an installed package, found without running any of its code."""
    top = source.package.split(".")[0]
    found = importlib.util.find_spec(top)
    if found is None or not found.submodule_search_locations:
        raise DataError(f"source {name!r}: there is no package {top!r} here; install it where stages run")
    root = Path(next(iter(found.submodule_search_locations))).joinpath(*source.package.split(".")[1:]).resolve()
    path = (root / source.path).resolve()
    if not path.is_relative_to(root):
        raise DataError(f"source {name!r}: path {source.path!r} leaves the package {source.package}")
    if not path.is_file() and (path.parent / f"{path.name}.zip").is_file():
        return path.parent / f"{path.name}.zip"
    if not path.is_file():
        raise DataError(f"source {name!r}: package {source.package} has no file {source.path!r}")
    return path


def _mask(error: Exception, secret: str) -> str:
    return str(error).replace(secret, "***")
