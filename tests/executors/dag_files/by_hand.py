"""DAGs written by hand that a test holds up: `held` in a worker, `deferring` in a triggerer, `after_held` by Airloom's
own trigger, which waits until no run of `held` is under way. The trigger conf names the test's ledger entries."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, BaseOperator
from ledger import LedgerTrigger, wait_for, write_down

from airloom_airflow.triggers.drift import DriftTrigger


class Held(BaseOperator):
    """Waits in its worker."""

    def execute(self, context: Any) -> None:
        name = context["dag_run"].conf["name"]
        self.log.info("LINE held")
        write_down(f"{name}.{self.task_id}.begun")
        wait_for(name)
        write_down(f"{name}.{self.task_id}.ended")
        self.log.info("LINE let go")


class Deferring(BaseOperator):
    """Defers once by the test's trigger, or by Airloom's."""

    def __init__(self, *, dag_awaited: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dag_awaited = dag_awaited

    def execute(self, context: Any) -> None:
        name, lines = context["dag_run"].conf["name"], context["dag_run"].conf.get("lines", 0)
        self.log.info("LINE deferring")
        write_down(f"{name}.{self.task_id}.begun")
        trigger = DriftTrigger(self.dag_awaited, 0.5) if self.dag_awaited else LedgerTrigger(name, lines)
        self.defer(trigger=trigger, method_name="resume")

    def resume(self, context: Any, event: dict[str, Any]) -> None:
        write_down(f"{context['dag_run'].conf['name']}.{self.task_id}.ended")
        self.log.info("LINE resumed")


def _build(dag_id: str, task: type[BaseOperator], count: int, **arguments: Any) -> DAG:
    with DAG(dag_id, schedule=None, max_active_runs=1) as dag:
        for number in range(count):
            task(task_id=f"task_{number}", retries=1, retry_delay=timedelta(0), **arguments)
    return dag


held = _build("held", Held, 2)
deferring = _build("deferring", Deferring, 4)
after_held = _build("after_held", Deferring, 2, dag_awaited="held")
