"""A stage's secrets are masked in its task's log by Airflow too."""

from __future__ import annotations

from airflow.sdk.log import redact

from airloom_airflow.operators.secret_masks import mask_secrets


def test_airflow_masks_what_a_stage_is_given_under_a_secrets_name():
    mask_secrets({"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7", "AWS_REGION": "eu-north-9"})
    assert redact("key wJalrXUtnFEMI/K7 in eu-north-9") == "key *** in eu-north-9"


def test_airflow_masks_what_stands_in_a_connection():
    mask_secrets({"AIRFLOW_CONN_LAKE": '{"conn_type": "wasb", "extra": {"sas_token": "?sv=2022&sig=aBcDeF%3D"}}'})
    assert redact("GET https://lake/c?sv=2022&sig=aBcDeF%3D refused") == "GET https://lake/c*** refused"
    assert redact("sig aBcDeF= refused") == "sig *** refused"
