"""`prepare.py wait|migrate|bucket|mlflow`: what the chart's pods do before their own work.

Waits for the database, and says every ten seconds why, with the Secret that its address comes from. `migrate` then
brings Airflow's tables up to date, and `wait` waits until they are; `mlflow` makes MLflow's database in a bundled
PostgreSQL, and brings its tables up to date; `bucket` makes the bucket in a bundled MinIO. Runs in Airloom's images.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any
from urllib.parse import urlsplit

AIRFLOW = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
MLFLOW = "MLFLOW_BACKEND_STORE_URI"


def main(what: str) -> None:
    if what == "bucket":
        make_bucket()
    elif what == "mlflow":
        prepare_mlflow(os.environ[MLFLOW])
    elif what == "migrate":
        wait_for(os.environ[AIRFLOW]).close()
        os.execvp("airflow", ["airflow", "db", "migrate"])
    else:
        wait_for(os.environ[AIRFLOW]).close()
        write_passwords()
        os.execvp("airflow", ["airflow", "db", "check-migrations", "--migration-wait-timeout", "900"])


def wait_for(address: str, missing_is_well: bool = False) -> Any:
    """A connection to the database; None where it is missing and that is well."""
    import psycopg2

    url = urlsplit(address)
    if not url.scheme.startswith("postgresql"):
        sys.exit(f"{named()} has an address of {url.scheme}; give one of postgresql+psycopg2://")
    told = 0.0
    while True:
        try:
            return psycopg2.connect(url._replace(scheme="postgresql").geturl(), connect_timeout=5)
        except psycopg2.OperationalError as error:
            if missing_is_well and f'database "{url.path.strip("/")}" does not exist' in str(error):
                return None
            if time.monotonic() - told > 10:
                told = time.monotonic()
                place = f"{url.hostname}:{url.port or 5432}{url.path} as {url.username} ({named()})"
                say(f"waiting for the database {place}: {str(error).strip()}")
        time.sleep(1)


def named() -> str:
    return f"Secret {os.environ['AIRLOOM_DATABASE_SECRET']}"


def write_passwords() -> None:
    """Of the simple auth manager's one user."""
    if user := os.environ.get("ADMIN_USER"):
        with open("/tmp/passwords.json", "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            json.dump({user: os.environ["ADMIN_PASSWORD"]}, file)


def prepare_mlflow(address: str) -> None:
    connection = wait_for(address, missing_is_well=True)
    if connection is None:
        url = urlsplit(address)
        other = wait_for(url._replace(path="/postgres").geturl())
        other.autocommit = True
        other.cursor().execute(f'CREATE DATABASE "{url.path.strip("/")}"')
        say(f"made the database {url.path.strip('/')}")
        return
    cursor = connection.cursor()
    cursor.execute("SELECT to_regclass('alembic_version')")
    if cursor.fetchone()[0] is not None:  # an empty one is made by the server itself
        connection.close()
        os.execvp("mlflow", ["mlflow", "db", "upgrade", address])


def make_bucket() -> None:
    import boto3
    import botocore.exceptions

    bucket = os.environ["BUCKET"]
    client = boto3.client("s3")
    while True:
        try:
            client.create_bucket(Bucket=bucket)
        except (client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
            return say(f"the bucket {bucket} is there")
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            say(f"waiting for {os.environ['AWS_ENDPOINT_URL']}: {error}")
            time.sleep(2)
        else:
            return say(f"made the bucket {bucket}")


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
