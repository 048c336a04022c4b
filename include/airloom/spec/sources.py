"""Where data comes from and goes to. Paths are relative to the installation's data root; no code is named here."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _require_file(path: str) -> str:
    if not PurePosixPath(path).name or "\0" in path:  # empty, `.`, `/`: a folder, which is nothing to read or write
        raise ValueError(f"given {path!r}, which names no file; give a file's path, such as landing/rows.parquet")
    scheme, address, _ = path.partition("://")
    if address:  # only its scheme is shown: the rest may hold a password
        raise ValueError(
            f"given an address, {scheme}://…, and a stage opens files of its own disk only; give a path, and bring the "
            "file there: a mounted folder or bucket, the image of pods, or a task before this one that copies it"
        )
    return path


FilePath = Annotated[str, AfterValidator(_require_file)]
"""Of a file, below the data root unless it is absolute."""


class _Place(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", str_strip_whitespace=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class SecretRef(_Place):
    """A value kept out of the file: `AIRLOOM_SECRET_<NAME>`, or the file `<NAME>` in `AIRLOOM_SECRETS_DIR`."""

    secret: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
    """The secret's name."""


class CsvSource(_Place):
    type: Literal["csv"]
    path: FilePath
    """A CSV file, plain, gzipped or zipped."""
    columns: tuple[str, ...] = ()
    """Column names, for a file without a header."""
    skip_rows: int = Field(default=0, ge=0)
    """Lines before the header (or before the data, where `columns` is given)."""


class ParquetSource(_Place):
    type: Literal["parquet"]
    path: FilePath
    """A Parquet file."""


class SqlSource(_Place):
    type: Literal["sql"]
    query: str
    """DuckDB SQL."""
    database: FilePath | SecretRef | None = None
    """A DuckDB database file, opened read-only. Left out: in memory."""


class PackageSource(_Place):
    type: Literal["package"]
    package: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*$")]
    """An installed Python package. Its data file is read; none of its code runs."""
    path: FilePath
    """CSV or Parquet file inside the package."""
    columns: tuple[str, ...] = ()
    """Column names, for a file without a header."""
    skip_rows: int = Field(default=0, ge=0)
    """Lines before the header (or before the data, where `columns` is given)."""


class BatchesSource(_Place):
    type: Literal["batches"]
    path: FilePath
    """Glob of CSV or Parquet files, one a batch; a new batch makes a new dataset version."""


Source = Annotated[CsvSource | ParquetSource | SqlSource | PackageSource | BatchesSource, Field(discriminator="type")]


class ParquetSink(_Place):
    type: Literal["parquet"]
    path: FilePath
    """Parquet file that is written whole, or not at all."""


class SqlSink(_Place):
    type: Literal["sql"]
    database: FilePath | SecretRef
    """DuckDB database file."""
    table: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]
    """Table that a scoring run's rows replace or are added to, by run."""


Sink = Annotated[ParquetSink | SqlSink, Field(discriminator="type")]
