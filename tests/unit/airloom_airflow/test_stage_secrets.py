"""A stage's secrets on Airflow's side: read by its public interface, and masked in the task's log."""

from __future__ import annotations

import json
import logging

import pytest
from airflow.sdk.log import redact

from airloom.errors import ConfigError, UnavailableError
from airloom.spec.team import AirflowSecret
from airloom_airflow import stage_secrets
from airloom_airflow.stage_secrets import keep_masked, load_secrets, mask_secrets


@pytest.fixture(autouse=True)
def connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_secrets, "_masked", {})
    given = {
        "conn_type": "postgres",
        "host": "db.example",
        "port": 5432,
        "login": "ops",
        "password": "pass/word",
        "extra": {"key": "from-extra", "keyfile": {"private": "x"}},
    }
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(given))


def test_airflow_masks_what_a_stage_is_given_under_a_secrets_name():
    mask_secrets({"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7", "AWS_REGION": "eu-north-9"})
    assert redact("key wJalrXUtnFEMI/K7 in eu-north-9") == "key *** in eu-north-9"


def test_airflow_masks_what_stands_in_a_connection():
    mask_secrets({"AIRFLOW_CONN_LAKE": '{"conn_type": "wasb", "extra": {"sas_token": "?sv=2022&sig=aBcDeF%3D"}}'})
    assert redact("GET https://lake/c?sv=2022&sig=aBcDeF%3D refused") == "GET https://lake/c*** refused"
    assert redact("sig aBcDeF= refused") == "sig *** refused"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("password", "pass/word"),
        ("login", "ops"),
        ("host", "db.example"),
        ("port", "5432"),
        ("extra.key", "from-extra"),
        ("extra.keyfile", '{"private": "x"}'),
    ],
)
def test_any_part_of_a_connection_can_be_a_variable(field, value):
    secret = AirflowSecret(name="IT", conn_id="warehouse", field=field)
    assert load_secrets([secret]) == {"IT": value}


def test_a_whole_connection_is_its_uri_as_airflow_writes_it():
    uri = load_secrets([AirflowSecret(name="IT", conn_id="warehouse", field="uri")])["IT"]
    assert uri.startswith("postgres://ops:pass%2Fword@db.example:5432/?")


@pytest.mark.parametrize("field", ["schema", "extra.absent"])
def test_what_a_connection_lacks_fails_for_good(field):
    with pytest.raises(ConfigError, match="is empty; mend the connection"):
        load_secrets([AirflowSecret(name="IT", conn_id="warehouse", field=field)])


@pytest.mark.parametrize("source", [{"conn_id": "nowhere"}, {"variable": "nowhere"}])
def test_what_airflow_does_not_have_may_come_and_is_told_with_its_remedy(source):
    with pytest.raises(UnavailableError, match=r"'nowhere', for the variable IT, cannot be had.*Add it to Airflow"):
        load_secrets([AirflowSecret(name="IT", **source)])


def test_a_process_that_did_not_start_the_stage_masks_its_secrets_and_reads_them_once_in_a_while(monkeypatch):
    secret = AirflowSecret(name="IT", variable="token")
    monkeypatch.setenv("AIRFLOW_VAR_TOKEN", "first-value")
    keep_masked([secret])
    assert redact("first-value") == "***"
    monkeypatch.setenv("AIRFLOW_VAR_TOKEN", "second-value")
    keep_masked([secret])
    assert redact("second-value") == "second-value"
    monkeypatch.setitem(stage_secrets._masked, secret, stage_secrets._masked[secret] - 300)
    keep_masked([secret])
    assert redact("second-value") == "***"


def test_one_that_cannot_be_read_is_logged_and_the_stage_is_followed_all_the_same(caplog):
    with caplog.at_level(logging.WARNING):
        keep_masked([AirflowSecret(name="IT", variable="nowhere")])
    assert "IT is masked in the log by the stage alone" in caplog.text
