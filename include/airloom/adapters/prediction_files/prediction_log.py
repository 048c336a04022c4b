"""`PredictionLog` over the object store: part files that grow until they are full, each replaced atomically.

One object of it appends from one thread; several processes may append at once, each to files of its own.
"""

from __future__ import annotations

import io
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airloom.errors import ConfigError, DataError, MissingExtraError, UnavailableError
from airloom.ports.object_store import ObjectStore
from airloom.ports.prediction_log import MODEL_VERSION, RECEIVED_AT

if TYPE_CHECKING:
    import pandas as pd

_PART_ROWS = 2_000
"""A part is rewritten as rows come, until it has so many; so slow traffic does not make a file a second."""


@dataclass(frozen=True)
class _Part:
    uri: str
    rows: pd.DataFrame


class PredictionFilesLog:
    """See `airloom.ports.prediction_log`.

    Args:
        object_store: keeps the parts.
        pipeline_uri: parts are `<pipeline_uri>/predictions/<model version>/<part>.parquet`.

    Errors:
        UnavailableError: the object store does not answer; nothing was added.
    """

    def __init__(self, object_store: ObjectStore, pipeline_uri: str) -> None:
        self._store = object_store
        self._uri = f"{pipeline_uri.rstrip('/')}/predictions"
        self._open: dict[str, _Part] = {}

    def read(self, model_version: str) -> pd.DataFrame:
        import pandas as pd

        uris = [uri for uri in self._store.list(self._prefix(model_version)) if uri.endswith(".parquet")]
        parts = [_decode(self._store.read(uri), uri) for uri in uris]
        if not parts:
            return pd.DataFrame()
        rows = pd.concat([part.astype(object) for part in parts], ignore_index=True).infer_objects()
        return rows.sort_values(RECEIVED_AT, kind="stable", ignore_index=True)

    def append(self, rows: pd.DataFrame) -> None:
        if rows.empty:
            return
        versions = rows[MODEL_VERSION].unique()
        if len(versions) != 1:
            raise DataError(f"rows of the versions {sorted(versions)} come in one append; give one version's at a time")
        version = str(versions[0])
        part = self._extend(version, rows)
        self._store.write(part.uri, _encode(part.rows))
        self._open[version] = part

    def _extend(self, version: str, rows: pd.DataFrame) -> _Part:
        import pandas as pd

        part = self._open.get(version)
        if part is not None and len(part.rows) + len(rows) <= _PART_ROWS:
            joined = pd.concat([part.rows.astype(object), rows.astype(object)], ignore_index=True).infer_objects()
            return _Part(part.uri, joined)
        return _Part(f"{self._prefix(version)}/{time.time_ns():020}-{uuid.uuid4().hex[:8]}.parquet", rows)

    def _prefix(self, version: str) -> str:
        if not version or not version.replace("-", "").replace("_", "").isalnum():
            raise ConfigError(f"{version!r} is no model version; give letters, digits, - and _ only")
        return f"{self._uri}/{version}"


def _encode(rows: pd.DataFrame) -> bytes:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("pyarrow", "duckdb") from error
    columns = {str(name): _uniform(rows[name]) for name in rows.columns}
    target = io.BytesIO()
    type(rows)(columns).to_parquet(target, index=False, compression="zstd")
    return target.getvalue()


def _uniform(column: pd.Series) -> pd.Series:
    """Callers may give a key as a number once, and as text later; a Parquet column has one type, so text it is."""
    if column.dtype != object:
        return column
    kinds = {type(value) for value in column.dropna()}
    return column.where(column.isna(), column.astype(str)) if len(kinds) > 1 else column


def _decode(content: bytes, uri: str) -> pd.DataFrame:
    import pandas as pd
    from pyarrow.lib import ArrowException

    try:
        return pd.read_parquet(io.BytesIO(content))
    except (ArrowException, OSError) as error:
        raise UnavailableError(f"the prediction log's part {uri} cannot be read: {error}") from error
