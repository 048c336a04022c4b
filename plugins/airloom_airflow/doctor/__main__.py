"""`python -m airloom_airflow.doctor`: as one line of JSON, its diagnoses, and the folders of pipeline
files that Airflow reads.

`folders` has each one's path and what it is called; null: Airflow's configuration names none.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from airloom.diagnosis import Diagnosis
from airloom.settings import load_settings
from airloom_airflow.doctor.folders import find_folders
from airloom_airflow.doctor.installation import check_airflow, check_requirements
from airloom_airflow.doctor.kubernetes import check_kubernetes
from airloom_airflow.doctor.notifiers import check_notifiers
from airloom_airflow.doctor.pipelines import check_executors, check_secrets
from airloom_airflow.speedups.database import look_into_database


def main(arguments: list[str]) -> int:
    """Look and tell; 0 whatever was found."""
    parser = argparse.ArgumentParser(prog="python -m airloom_airflow.doctor", description=__doc__)
    parser.add_argument("--not-started", action="store_true", help="Airflow is the embedded one, and does not run now")
    parser.add_argument("--copies", type=Path, help="folder for copies of a bucket's or repository's pipeline files, "
                        "which are left there [one that is removed at the end]")  # fmt: skip
    parser.add_argument("--kubeconfig", type=Path, help="look into the cluster with this account")
    parser.add_argument("--context", help="of that kubeconfig")
    options = parser.parse_args(arguments)
    settings = load_settings()
    if not options.not_started:
        look_into_database()

    def examine() -> Iterator[Diagnosis]:
        yield from check_requirements()
        yield from find_folders(settings).diagnoses
        yield from check_airflow(settings, started=not options.not_started)
        yield from check_executors(settings)
        yield from check_notifiers(settings, started=not options.not_started)
        yield from check_secrets(settings, started=not options.not_started)
        if settings.runtime == "kubernetes":
            yield from check_kubernetes(settings, options.kubeconfig, options.context)

    with tempfile.TemporaryDirectory(prefix="airloom-doctor-") as scratch:
        # Airflow's own bundles on this machine stay as they are
        os.environ["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH"] = str(options.copies or scratch)
        diagnoses = [diagnosis.to_json() for diagnosis in examine()]
        folders = find_folders(settings).paths
    named = None if folders is None else {str(path): shown for path, shown in folders.items()}
    print(json.dumps({"folders": named, "diagnoses": diagnoses}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
