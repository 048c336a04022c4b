"""`python -m airloom_airflow.doctor`: the diagnoses of the Airflow side, as one line of JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from airloom.diagnosis import Diagnosis
from airloom.settings import load_settings
from airloom_airflow.doctor.installation import check_airflow, check_requirements
from airloom_airflow.doctor.kubernetes import check_kubernetes
from airloom_airflow.doctor.pipelines import check_notifiers, check_secrets
from airloom_airflow.speedups.database import look_into_database


def main(arguments: list[str]) -> int:
    """Look and tell; 0 whatever was found."""
    parser = argparse.ArgumentParser(prog="python -m airloom_airflow.doctor", description=__doc__)
    parser.add_argument("--not-started", action="store_true", help="Airflow is the embedded one, and does not run now")
    parser.add_argument("--kubeconfig", type=Path, help="look into the cluster with this account")
    parser.add_argument("--context", help="of that kubeconfig")
    options = parser.parse_args(arguments)

    def examine() -> Iterator[Diagnosis]:
        settings = load_settings()
        yield from check_requirements()
        yield from check_airflow(settings, started=not options.not_started)
        yield from check_notifiers(settings)
        if not options.not_started:
            look_into_database()
        yield from check_secrets(settings, started=not options.not_started)
        if settings.runtime == "kubernetes":
            yield from check_kubernetes(settings, options.kubeconfig, options.context)

    print(json.dumps([diagnosis.to_json() for diagnosis in examine()]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
