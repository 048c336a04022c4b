"""Which variables hold secrets."""

from __future__ import annotations

import io
import json

import pytest

from airloom.secret_values import find_secret_values
from airloom.stages.secrets import Redactor


def test_what_whoever_starts_a_stage_names_is_a_secret_whatever_its_own_name() -> None:
    environ = {"WAREHOUSE": "correct horse", "PGHOST": "db.example", "AIRLOOM_MASKED_VARIABLES": "WAREHOUSE ABSENT"}
    assert find_secret_values(environ) == {"correct horse", "correct%20horse"}
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


def test_a_password_in_a_url_is_masked_as_it_stands_there_and_as_it_is():
    found = find_secret_values({"DATABASE": "postgresql://ops:p%40ssword@db/ops"})
    assert found == {"p%40ssword", "p@ssword", "p%2540ssword"}


@pytest.mark.parametrize("password", ["hunter/22-secret", "hunter#22-secret", "hunter?22-secret"])
def test_a_password_that_a_url_should_quote_is_masked_all_the_same(password):
    assert password in find_secret_values({"WAREHOUSE": f"postgresql://ops:{password}@db/flights"})


def test_a_port_and_a_path_with_an_at_sign_are_no_password():
    assert find_secret_values({"PAGE": "http://db:8080/people/@somebody"}) == frozenset()


@pytest.mark.parametrize("value", ["hunter22-secret\n", " hunter22-secret"])
@pytest.mark.parametrize("names", [{"AIRLOOM_SECRET_X"}, {"PIN_OF_US"}])
def test_a_declared_secret_is_masked_without_the_blanks_around_it_too(names, value):
    environ = {"AIRLOOM_MASKED_VARIABLES": "PIN_OF_US", **dict.fromkeys(names, value)}
    assert Redactor(environ).redact("login with 'hunter22-secret' was refused") == "login with '***' was refused"


CONNECTION = {
    "conn_type": "postgres",
    "login": "operations",
    "password": "hunter2/hunter",
    "extra": json.dumps({"accessToken": "tok-en-of-extra", "region": "eu-north-1", "note": "nothing here"}),
}
KEYFILE = {
    "type": "service_account",
    "private_key": "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\n",
    "project_id": "p",
}


@pytest.mark.parametrize(
    ("value", "secrets", "legible"),
    [
        (
            json.dumps(CONNECTION),
            ["hunter2/hunter", "hunter2%2Fhunter", "tok-en-of-extra"],
            ["operations", "eu-north-1"],
        ),
        (
            json.dumps({"extra": {"keyfile_dict": json.dumps(KEYFILE)}}),
            ["MIIEvQIBADANBgkqhkiG9w0"],
            ["service_account"],
        ),
        (json.dumps([{"url": "https://ops:pass-word@host/x"}]), ["pass-word"], ["host"]),
        (json.dumps({"auths": {"registry": {"auth": "b3BzOnBhc3M="}}}), ["b3BzOnBhc3M="], ["registry"]),
        (
            json.dumps({"type": "http", "auth": {"type": "api_key", "apiKey": "key-of-lineage"}}),
            ["key-of-lineage"],
            ["http"],
        ),
        ("host=db.example user=ops password=pass-word dbname=lake", ["pass-word"], ["db.example", "lake"]),
        ("host=db.example password='pass word' dbname=lake", ["pass word"], ["db.example"]),
        ("Driver={ODBC 18};Server=db.example;Uid=ops;Pwd={pass;word};", ["pass;word"], ["db.example", "ODBC 18"]),
        ("Server=db.example;User Id=ops;Password=pass-word", ["pass-word"], ["db.example"]),
        (
            "DefaultEndpointsProtocol=https;AccountName=lake;AccountKey=Eby8vdM02xNO==;EndpointSuffix=core.example",
            ["Eby8vdM02xNO=="],
            ["core.example"],
        ),
        (
            "BlobEndpoint=https://lake.example;SharedAccessSignature=sv=2022-11-02&sig=abc%2Fdef%3D",
            ["abc%2Fdef%3D", "abc/def="],
            ["lake.example"],
        ),
        ("https://lake.example/c?sv=2022-11-02&sig=abc%2Fdef%3D&se=2030", ["abc%2Fdef%3D"], ["lake.example"]),
        ("?sv=2022-11-02&sig=abc%2Fdef%3D", ["abc%2Fdef%3D"], ["2022-11-02"]),
        ("https://lake.s3/x?X-Amz-Algorithm=AWS4&X-Amz-Signature=0123456789abcdef", ["0123456789abcdef"], ["lake.s3"]),
        ("https://api.example/v1?access_token=abcdef-ghi#top", ["abcdef-ghi"], ["api.example"]),
        ("https://ghp_0123456789abcdef@git.example/models", ["ghp_0123456789abcdef"], ["git.example"]),
        ("mysql://ops:pass-word@one,two/lake and redis://:other-word@cache/0", ["pass-word", "other-word"], ["cache"]),
        ("authorization=Bearer abcdef-ghi,x-tenant=airloom", ["abcdef-ghi"], ["x-tenant=airloom"]),
        ("api-key=abcdef-ghi,tenant=airloom", ["abcdef-ghi"], ["tenant=airloom"]),
        ("serve --password=pass-word --port=80", ["pass-word"], ["serve", "port"]),
        ("md:lake?motherduck_token=abcdef-ghi", ["abcdef-ghi"], ["md:lake"]),
    ],
)
@pytest.mark.parametrize("name", ["AIRFLOW_CONN_LAKE", "SOME_ADDRESS", "AIRLOOM_SECRET_LAKE"])
def test_a_secret_inside_a_value_is_masked_by_itself_and_the_rest_stays_legible(name, value, secrets, legible):
    redactor = Redactor({name: value})
    for secret in secrets:
        assert redactor.redact(f"refused {secret} there") == "refused *** there"
    for word in legible:
        assert redactor.redact(f"no host {word}") == f"no host {word}"


@pytest.mark.parametrize(
    "value",
    [
        '{"cpu": 2, "path": "/models", "tokens": 4096, "keys": ["customer_id"]}',
        "{not json",
        "[" * 100_000,
        "a=b;c=d&token_count=123456",
        "/bin:/usr/bin",
        "https://user@host/a?page=2",
        "-Xmx2g -Dfile.encoding=utf-8",
        "%(asctime)s {password}",
        *("a-" * 100_000, "x" * 200_000, "a b " * 50_000, "a= " * 50_000),  # which must not take minutes either
    ],
)
def test_values_without_a_secret_stay_legible(value):
    assert find_secret_values({"SETTINGS": value}) == frozenset()


def test_what_stands_in_the_object_stores_address_is_no_secret():
    """Masked, no result could be found again by the URIs that a stage answers."""
    environ = {"AWS_SECRET_ACCESS_KEY": "airloom-dev", "AIRLOOM_ARTIFACTS_URI": "s3://airloom-dev/models"}
    assert find_secret_values(environ) == frozenset()


def test_a_declared_secret_may_be_short():
    assert find_secret_values({"AIRLOOM_SECRET_PIN": "4711", "AIRLOOM_SECRET_TOO_SHORT": "abc"}) == {"4711"}


def test_a_secret_of_a_file_is_masked_whole_and_inside(tmp_path):
    (tmp_path / "lake").write_text("postgresql://ops:pass-word@db/lake\n")
    redactor = Redactor({"AIRLOOM_SECRETS_DIR": str(tmp_path)})
    assert redactor.redact("postgresql://ops:pass-word@db/lake: pass-word is wrong") == "***: *** is wrong"


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
