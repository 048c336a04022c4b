"""Airflow's API server, after its one user's password has been written where its simple auth manager looks for it.

docker-compose.yaml starts it. Without that file the auth manager would make a password up, and log it.
"""

import json
import os
from pathlib import Path

password = os.environ.pop("AIRLOOM_ADMIN_PASSWORD")
path = Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
path.touch(mode=0o600)
path.write_text(json.dumps({"admin": password}), encoding="utf-8")
os.execlp("airflow", "airflow", "api-server")
