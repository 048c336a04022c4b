"""What `helm test` runs: asks every part whether it is well, for two minutes, and says which is not."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from urllib.request import urlopen


def main() -> int | str:
    deadline = time.monotonic() + 120
    while faults := list(find_faults()):
        if time.monotonic() > deadline:
            return "\n".join(faults)
        time.sleep(3)
    print("every part is well")
    return 0


def find_faults() -> Iterator[str]:
    if address := os.environ["AIRFLOW_URL"]:
        try:
            parts = json.loads(ask(f"{address}/api/v2/monitor/health"))
            for name in ("metadatabase", "scheduler", "triggerer", "dag_processor"):
                if parts[name]["status"] != "healthy":
                    yield f"Airflow's {name} is {parts[name]['status']}"
        except OSError as error:
            yield f"Airflow's API server, {address}: {error}"
    for name, path in (("MLFLOW", "/health"), ("GATEWAY", "/v2/health/ready")):
        if address := os.environ[f"{name}_URL"]:
            try:
                ask(f"{address}{path}")
            except OSError as error:
                yield f"{name.capitalize()}, {address}: {error}"


def ask(address: str) -> bytes:
    with urlopen(address, timeout=30) as answer:
        return bytes(answer.read())


if __name__ == "__main__":
    sys.exit(main())
