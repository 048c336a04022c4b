"""Which variables hold secrets."""

from __future__ import annotations

import io

import pytest

from airloom.secret_values import find_secret_values
from airloom.stages.secrets import Redactor


def test_what_whoever_starts_a_stage_names_is_a_secret_whatever_its_own_name() -> None:
    environ = {"WAREHOUSE": "correct horse", "PGHOST": "db.example", "AIRLOOM_MASKED_VARIABLES": "WAREHOUSE ABSENT"}
    assert find_secret_values(environ) == {"correct horse"}
    assert Redactor(environ).redact("correct horse at db.example") == "*** at db.example"


@pytest.mark.parametrize(
    "name",
    [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AZURE_CLIENT_SECRET",
        "AZURE_STORAGE_CONNECTION_STRING",
        "AZURE_STORAGE_KEY",
        "HF_TOKEN",
        "MLFLOW_TRACKING_PASSWORD",
        "WANDB_API_KEY",
        "PGPASSWORD",
        "MYSQL_PWD",
        "SMTP_PASS",
        "AIRFLOW__CORE__FERNET_KEY",
        "db_password",
    ],
)
def test_a_value_under_a_secrets_name_is_masked(name):
    assert find_secret_values({name: "s3cr3t-value-of-16"}) == {"s3cr3t-value-of-16"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", "http://minio:9000"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/secrets/token"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
        ("TOKENIZERS_PARALLELISM", "parallel"),
        ("AIRLOOM_SECRETS_DIR", "/var/run/secrets"),
        ("SORT_KEY", "customer_id"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/var/secrets/google/key.json"),
        ("OLDPWD", "/home/somebody"),
        ("HF_TOKEN", "        "),
        ("DB_PASSWORD", "test"),
        ("AWS_ACCESS_KEY_ID", "airloom"),
        ("BROKEN_URL", "http://[user:secret-word@host"),
    ],
)
def test_ordinary_values_stay_legible(name, value):
    assert find_secret_values({name: value}) == frozenset()


def test_a_password_in_a_url_is_masked_as_it_stands_there():
    assert find_secret_values({"DATABASE": "postgresql://ops:p%40ssword@db/ops"}) == {"p%40ssword"}


def test_what_stands_in_the_object_stores_address_is_no_secret():
    """Masked, no result could be found again by the URIs that a stage answers."""
    environ = {"AWS_SECRET_ACCESS_KEY": "airloom-dev", "AIRLOOM_ARTIFACTS_URI": "s3://airloom-dev/models"}
    assert find_secret_values(environ) == frozenset()


def test_a_declared_secret_may_be_short():
    assert find_secret_values({"AIRLOOM_SECRET_PIN": "4711", "AIRLOOM_SECRET_TOO_SHORT": "abc"}) == {"4711"}


def test_a_stage_writes_no_credentials_of_its_object_store():
    target = io.StringIO()
    stream = Redactor({"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7"}).stream(target)
    print("denied for wJalrXUtnFEMI/K7", file=stream)
    assert target.getvalue() == "denied for ***\n"


@pytest.mark.parametrize("name", ["SNOWFLAKE_PRIVATE_KEY", "AIRLOOM_SECRET_SSH"])
def test_of_a_secret_of_several_lines_none_comes_out(name):
    target = io.StringIO()
    lines = ["-----BEGIN PRIVATE KEY-----", "MIIEvQIBADANBgkqhkiG9w0BAQEF", "ASCBKcwggSjAgEAAoIBAQC7VJTU"]
    stream = Redactor({name: "\n".join(lines)}).stream(target)
    print("the key is", "\n".join(lines), file=stream)
    assert not any(line in target.getvalue() for line in lines)


def test_keys_and_numbers_are_no_secrets():
    redactor = Redactor({"MLFLOW_TRACKING_PASSWORD": "mlflow", "AIRLOOM_SECRET_PIN": "1234"})
    told = {"mlflow_run_id": "of mlflow", "value": 0.1234, "names": ["pin 1234"]}
    assert redactor.redact_texts(told) == {"mlflow_run_id": "of ***", "value": 0.1234, "names": ["pin ***"]}
