"""The flight pipeline's way to a served champion, as every combination must go it."""

from __future__ import annotations

import time
from collections.abc import Mapping

import httpx
from tests.executors.installation import Installation, Run

TRAIN, PROMOTE = "ops__flight_delay__train", "ops__flight_delay__promote"
_STAGES = {"ingest", "validate", "features", "train", "evaluate", "test", "gate", "register"}
_FLIGHT = {"carrier": "EV", "origin": "EWR", "dest": "ORD", "tailnum": "N10156"}


def live_through(installation: Installation, seconds: float = 240) -> Mapping[str, str]:
    """Train, register, promote, deploy; the gateway then answers. Prints how long it took; gives task → where it ran.

    Args:
        seconds: how long the training may take.
    """
    started = time.monotonic()
    training = installation.trigger(TRAIN)
    assert training.end(seconds) == "success", _tell(training)
    assert set(training.tasks) == _STAGES
    promotions: list[Run] = []

    def is_promoted() -> bool:
        promotions[:] = [Run(installation, PROMOTE, run["dag_run_id"]) for run in installation.api.runs(PROMOTE)]
        return bool(promotions)

    installation.wait(is_promoted, "the registered model starts its promotion")
    assert promotions[0].end() == "success", _tell(promotions[0])
    print(f"flight pipeline to a served champion: {time.monotonic() - started:.0f} s")
    assert _ask_gateway(installation) == "1"
    return {task_id: task["hostname"] for run in (training, promotions[0]) for task_id, task in run.tasks.items()}


def _ask_gateway(installation: Installation) -> str:
    inputs = [
        *({"name": name, "shape": [1], "datatype": "BYTES", "data": [value]} for name, value in _FLIGHT.items()),
        *(
            {"name": name, "shape": [1], "datatype": "INT64", "data": [value]}
            for name, value in (("distance", 719), ("departure_hour", 20), ("weekday", 4))
        ),
    ]
    gateway = installation.shared.addresses.gateway
    answer = httpx.post(f"{gateway}/v2/models/ops.flight_delay/infer", json={"inputs": inputs}, timeout=30)
    assert answer.is_success, answer.text
    return str(answer.json()["model_version"])


def _tell(run: Run) -> str:
    failed = [task_id for task_id, task in run.tasks.items() if task["state"] == "failed"]
    states = {task_id: (task["state"], task["hostname"]) for task_id, task in run.tasks.items()}
    logs = "\n".join("\n".join(run.log(task_id, run.tasks[task_id]["try_number"])[-30:]) for task_id in failed)
    return f"{states}\n{logs}"
