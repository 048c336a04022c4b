"""DuckDB: sources and SQL in, Parquet files, data frames and tables out."""

from airloom.adapters.duckdb.tables import DuckdbTables

__all__ = ["DuckdbTables"]
