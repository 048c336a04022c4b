"""`FeatureStore` on Feast: files offline, SQLite online, one registry a pipeline.

Feast wants an event time on every value. A view without a timestamp holds for all time: its values get the first
day of 1970 and no limit of age.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airloom.errors import DataError, MissingExtraError, SpecError, UnavailableError
from airloom.telemetry import switch_off
from airloom.type_checks import leave_out_type_checks

if TYPE_CHECKING:
    from airloom.ports.object_store import ObjectStore
    from airloom.spec.pipeline import FeatureView

switch_off(os.environ)
leave_out_type_checks()
try:
    import feast
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq
    from feast import types as feast_types
    from feast.infra.offline_stores.file_source import FileSource
    from feast.repo_config import RegistryConfig, RepoConfig
except ImportError as error:
    raise MissingExtraError("feast", "feast") from error

_TIME = "airloom_event_time"
_ROW = "airloom_row"
_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
_REGISTRY_TTL_SECONDS = 2
"""How soon a gateway sees views that were applied after it started."""


class FeastFeatureStore:
    """See `airloom.ports.feature_store.FeatureStore`.

    Args:
        object_store: keeps the folder of registry, offline files and online database.
        prefix: that folder, this pipeline's own.
    """

    def __init__(self, object_store: ObjectStore, prefix: str) -> None:
        self._objects = object_store
        self._prefix = prefix
        self._lock = threading.Lock()

    def apply(self, views: Mapping[str, FeatureView], tables: Mapping[str, Path]) -> None:
        self.refresh()
        entities: dict[str, feast.Entity] = {}
        made = []
        for name, view in views.items():
            offline, schema = self._write_offline(name, view, tables[name])
            entity = _build_entity(view.entity, schema)
            if entities.setdefault(view.entity, entity).value_type != entity.value_type:
                raise SpecError(
                    f"features.views.{name}: {view.entity!r} is {entity.value_type.name} here and "
                    f"{entities[view.entity].value_type.name} in another view; convert one in its query"
                )
            made.append(_build_view(name, view, offline, schema, entities[view.entity]))
        kept = {view.name for view in made}
        dropped = [view for view in self._store.list_feature_views() if view.name not in kept]
        with _quiet():
            self._store.apply([*entities.values(), *made], objects_to_delete=dropped, partial=not dropped)
        with contextlib.closing(sqlite3.connect(self._folder / "online.db")) as database:
            database.execute("PRAGMA journal_mode=WAL")  # so that the gateway reads while features are materialised

    def join(self, rows: pd.DataFrame, timestamp: str | None) -> pd.DataFrame:
        views = self._store.list_feature_views()
        asked = [f"{view.name}:{field.name}" for view in views for field in view.features]
        clashes = sorted({field.name for view in views for field in view.features} & set(rows.columns))
        if clashes:
            raise SpecError(
                f"features.views give columns that the rows have already: {', '.join(clashes)}. Rename them in a query"
            )
        keys = list(dict.fromkeys(key for view in views for key in view.join_keys))
        lacking = [key for key in keys if key not in rows.columns]
        if lacking:
            raise DataError(
                f"the rows lack the features' entities {', '.join(lacking)}; they have {list(rows.columns)}"
            )
        frame = rows[keys].reset_index(drop=True)
        frame["event_timestamp"] = _times(rows[timestamp]).to_numpy() if timestamp else self._newest(views)
        frame["event_timestamp"] = pd.to_datetime(frame["event_timestamp"], utc=True)
        frame[_ROW] = range(len(frame))
        with _quiet():
            joined = self._store.get_historical_features(frame, asked).to_df().sort_values(_ROW)
        columns = [name.partition(":")[2] for name in asked]
        return rows.assign(**{name: joined[name].to_numpy() for name in columns})

    def materialise(self) -> None:
        views = self._store.list_feature_views()
        end = self._newest(views) + timedelta(seconds=1)
        try:
            with _quiet():
                self._store.materialize(_ALWAYS - timedelta(days=1), end, [view.name for view in views])
        except sqlite3.OperationalError as error:
            raise UnavailableError(f"the online feature store {self._folder} cannot be written: {error}") from error
        with contextlib.closing(sqlite3.connect(self._folder / "online.db", timeout=1)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # what is published need not bring a log along
        self._objects.publish_folder(self._prefix)

    def refresh(self) -> None:
        folder = self._objects.folder(self._prefix)
        if folder != self._folder:
            store = _open(folder)
            with self._lock:
                self._folder, self._store = folder, store

    def look_up(self, view: str, entities: Sequence[Any]) -> dict[str, list[Any]]:
        with self._lock:
            try:
                found = self._store.get_feature_view(view, allow_registry_cache=True)
            except Exception as error:
                raise DataError(f"there is no feature view {view!r} online; run the features DAG first") from error
            (key,) = found.join_keys
            columns = [field.name for field in found.features]
            known = [entity for entity in dict.fromkeys(entities) if entity is not None]
            if not known:
                return {column: [None] * len(entities) for column in columns}
            try:
                answer = self._store.get_online_features(
                    [f"{view}:{column}" for column in columns], [{key: entity} for entity in known]
                ).to_dict()
            except sqlite3.OperationalError as error:
                raise UnavailableError(f"the online feature store does not answer: {error}") from error
            except (TypeError, ValueError) as error:
                raise DataError(f"{key} cannot be looked up: {error}") from error
        place = {entity: index for index, entity in enumerate(known)}
        return {
            column: [None if entity is None else answer[column][place[entity]] for entity in entities]
            for column in columns
        }

    @cached_property
    def _folder(self) -> Path:
        return self._objects.folder(self._prefix)

    @cached_property
    def _store(self) -> feast.FeatureStore:
        return _open(self._folder)

    def _write_offline(self, name: str, view: FeatureView, table: Path) -> tuple[Path, pa.Schema]:
        """The view's values as Feast wants them: with a time, and without values of no entity. Its path is relative
        to the folder, which may lie elsewhere for another process."""
        frame = pq.read_table(table).to_pandas()
        frame = frame[frame[view.entity].notna()]
        frame = frame.assign(**{_TIME: _times(frame[view.timestamp]) if view.timestamp else pd.Timestamp(_ALWAYS)})
        frame = frame[frame[_TIME].notna()][[view.entity, _TIME, *view.columns]]
        frame = frame.drop_duplicates([view.entity, _TIME], keep="last")
        if frame.empty:
            raise DataError(f"features.views.{name} has no values with {view.entity!r} and a time")
        path = self._folder / "offline" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        frame.to_parquet(part, index=False)
        part.replace(path)
        return path.relative_to(self._folder), pq.read_schema(path)

    def _newest(self, views: Sequence[Any]) -> datetime:
        newest = _ALWAYS
        for view in views:
            times = pq.read_table(self._folder / view.batch_source.path, columns=[_TIME]).column(_TIME).to_pandas()
            newest = max(newest, times.max().to_pydatetime())
        return newest


def _open(folder: Path) -> feast.FeatureStore:
    logging.getLogger("feast").setLevel(logging.ERROR)
    return feast.FeatureStore(
        config=RepoConfig(
            project="airloom",
            provider="local",
            registry=RegistryConfig(path=str(folder / "registry.db"), cache_ttl_seconds=_REGISTRY_TTL_SECONDS),
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            offline_store={"type": "airloom.adapters.feast.offline_store.AsofOfflineStore"},
            entity_key_serialization_version=3,
            repo_path=folder,
        )
    )


def _times(column: pd.Series[Any]) -> pd.Series[Any]:
    """Event times in UTC, microseconds; times without a zone are UTC."""
    return pd.to_datetime(column, utc=True).astype("datetime64[us, UTC]")


def _build_entity(key: str, schema: pa.Schema) -> feast.Entity:
    kind = schema.field(key).type
    if pa.types.is_integer(kind):
        value = feast.ValueType.INT64
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        value = feast.ValueType.STRING
    else:
        raise SpecError(f"the entity {key!r} is {kind}; an entity is an integer or text. Convert it in the queries")
    return feast.Entity(name=key, join_keys=[key], value_type=value)


def _build_view(
    name: str, view: FeatureView, offline: Path, schema: pa.Schema, entity: feast.Entity
) -> feast.FeatureView:
    return feast.FeatureView(
        name=name,
        entities=[entity],
        ttl=timedelta(hours=view.ttl_hours) if view.ttl_hours and view.timestamp else None,
        schema=[
            feast.Field(name=view.entity, dtype=_dtype(view.entity, schema)),
            *(feast.Field(name=column, dtype=_dtype(column, schema)) for column in view.columns),
        ],
        source=FileSource(name=f"{name}_source", path=str(offline), timestamp_field=_TIME),
        online=True,
    )


def _dtype(column: str, schema: pa.Schema) -> Any:
    kind = schema.field(column).type
    if pa.types.is_boolean(kind):
        return feast_types.Bool
    if pa.types.is_integer(kind):
        return feast_types.Int64
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return feast_types.Float64
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return feast_types.String
    raise SpecError(
        f"the feature {column!r} is {kind}; a feature is a number, a boolean or text. Convert it in its query"
    )


@contextlib.contextmanager
def _quiet() -> Any:
    """Feast prints its progress; a stage's log has its own."""
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield
    sys.stdout.flush()
