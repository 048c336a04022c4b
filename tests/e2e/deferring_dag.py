"""Tasks that defer many times, each time for no time at all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk import DAG, BaseOperator

TASKS = 6
TIMES = 6


class Deferring(BaseOperator):
    def execute(self, context: Any) -> None:
        self.again(context, 0)

    def again(self, context: Any, times: int, event: Any = None) -> None:
        if times < TIMES:
            trigger = DateTimeTrigger(moment=datetime.now(UTC))
            self.defer(trigger=trigger, method_name="again", kwargs={"times": times + 1})


with DAG("deferring", schedule=None):
    for number in range(TASKS):
        Deferring(task_id=f"task_{number}")
