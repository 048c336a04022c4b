"""A throw-away Airflow home: its environment must stand before Airflow is first imported, so conftest imports this."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from tests.airflow_versions.moved import alias_moved

HOME = Path(tempfile.mkdtemp(prefix="airloom-airflow-"))
PASSWORD = "correct-horse"
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

SETTINGS = {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACKS": "False",
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(HOME / "plugins"),
    "AIRFLOW__CORE__DAGS_FOLDER": str(HOME / "dags"),
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(HOME / "passwords.json"),
    "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of the tests, long enough for HS512 by any measure, surely so",
    "AIRFLOW__API__SECRET_KEY": "tests",
    "AIRFLOW__API__BASE_URL": "http://127.0.0.1:1",
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(HOME / "bundles"),
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
        [{"name": "airloom", "classpath": "airloom_airflow.bundles.PipelineDagBundle", "kwargs": {}}]
    ),
    "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
        {"type": "file", "log_file_path": str(HOME / "airflow-lineage.jsonl"), "append": True}
    ),
    "AIRFLOW__OPENLINEAGE__NAMESPACE": "airloom",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(HOME / "logs"),
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "AIRLOOM_HOME": str(HOME / "airloom"),
    "AIRLOOM_PIPELINES": str(HOME / "pipelines"),
    "AIRLOOM_ARTIFACTS_URI": (HOME / "artifacts").as_uri(),
}

os.environ.update(SETTINGS)
for folder in ("plugins", "dags", "pipelines", "artifacts", "airloom"):
    (HOME / folder).mkdir()
(HOME / "passwords.json").write_text(json.dumps({"admin": PASSWORD}))
alias_moved()


@cache
def migrate_database() -> None:
    """Make Airflow's database, once a session."""
    from airflow.utils.db import initdb

    initdb()
