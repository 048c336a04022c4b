"""The number of an attempt grows whatever makes Airflow start a stage again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from airloom_airflow.operators.attempt import build_attempt

_MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))


@given(_MOMENTS, st.timedeltas(timedelta(milliseconds=10), timedelta(days=400)))
def test_a_later_attempt_has_a_higher_number(moment: datetime, later: timedelta) -> None:
    assert build_attempt(moment) < build_attempt(moment + later)


@given(_MOMENTS)
def test_a_number_is_the_same_in_every_zone_and_exact_as_a_number_of_json(moment: datetime) -> None:
    there = moment.astimezone(timezone(timedelta(hours=9)))
    assert build_attempt(there) == build_attempt(moment) < 2**53


def test_a_number_can_be_read() -> None:
    assert build_attempt(datetime(2026, 11, 25, 2, 15, 33, 129_000, tzinfo=UTC)) == 2026112502153312
