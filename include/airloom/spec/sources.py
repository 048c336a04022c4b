"""Where data comes from and goes to. Paths are relative to the installation's data root; no code is named here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


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
    path: str
    """A CSV file, plain, gzipped or zipped."""
    columns: tuple[str, ...] = ()
    """Column names, for a file without a header."""
    skip_rows: int = Field(default=0, ge=0)
    """Lines before the header (or before the data, where `columns` is given)."""


class ParquetSource(_Place):
    type: Literal["parquet"]
    path: str
    """A Parquet file."""


class SqlSource(_Place):
    type: Literal["sql"]
    query: str
    """DuckDB SQL."""
    database: str | SecretRef | None = None
    """A DuckDB database file (opened read-only) or connection string. Left out: in memory."""


class PackageSource(_Place):
    type: Literal["package"]
    package: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*$")]
    """An installed Python package. Its data file is read; none of its code runs."""
    path: str
    """CSV or Parquet file inside the package."""
    columns: tuple[str, ...] = ()
    """Column names, for a file without a header."""
    skip_rows: int = Field(default=0, ge=0)
    """Lines before the header (or before the data, where `columns` is given)."""


class BatchesSource(_Place):
    type: Literal["batches"]
    path: str
    """Glob of CSV or Parquet files, one a batch; a new batch makes a new dataset version."""


Source = Annotated[CsvSource | ParquetSource | SqlSource | PackageSource | BatchesSource, Field(discriminator="type")]


class ParquetSink(_Place):
    type: Literal["parquet"]
    path: str
    """Parquet file that is written whole, or not at all."""


class SqlSink(_Place):
    type: Literal["sql"]
    database: str | SecretRef
    """DuckDB database file."""
    table: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]
    """Table that a scoring run's rows replace or are added to, by run."""


Sink = Annotated[ParquetSink | SqlSink, Field(discriminator="type")]
