"""The pipeline file's own check of a cron and Airflow's say the same."""

from __future__ import annotations

import random

from airflow.exceptions import AirflowTimetableInvalid
from airflow.timetables.trigger import CronTriggerTimetable

from airloom.spec.cron import check_cron

PARTS = ["*", "0", "5", "31", "61", "*/5", "1-5", "5-1", "mon", "MON#1", "L", "feb", "1,2", "?", "x", "-1", "7"]
WEIGHTS = [20, 6, 6] + [1] * 14
PRESETS = ["@once", "@continuous", "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly", "@annually", ""]


def airflow_takes(cron: str) -> bool:
    try:
        CronTriggerTimetable(cron, timezone="UTC").validate()
    except AirflowTimetableInvalid:
        return False
    return True


def we_take(cron: str) -> bool:
    try:
        check_cron(cron)
    except ValueError as error:
        return "never comes" in str(error)  # Airflow takes it, and finds out later
    return True


def test_airflow_and_the_pipeline_file_take_the_same_crons():
    choose = random.Random(7)
    lengths = choose.choices((4, 5, 6), (1, 4, 1), k=3000)
    crons = [*PRESETS, *(" ".join(choose.choices(PARTS, WEIGHTS, k=length)) for length in lengths)]
    differ = [cron for cron in crons if airflow_takes(cron) != we_take(cron)]
    assert differ == []
    assert 200 < sum(map(we_take, crons)) < 2800
