"""Seeded mistakes in who is to be notified: a class, its arguments, its connection."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.airloom_airflow.pipelines import OF_P

from airloom.settings import Settings, load_settings
from airloom_airflow.doctor.notifiers import check_notifiers

SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
WELL = "{to: a@example.org, from_email: b@example.org, subject: x, html_content: y}"


@pytest.fixture
def settings(tmp_path: Path, database: None) -> Settings:
    (tmp_path / "pipelines" / "ops").mkdir(parents=True)
    return load_settings({"AIRLOOM_HOME": str(tmp_path), "AIRLOOM_PIPELINES": str(tmp_path / "pipelines")})


def write(settings: Settings, path: str, args: str) -> None:
    text = f"{OF_P}  notify: {{failure: [{{notifier: {path}, args: {args}}}]}}\n"
    (settings.pipelines / "ops" / "p.yaml").write_text(text)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("airflow.providers.none.Notifier", "cannot be loaded"),
        ("pathlib.Path", "is no notifier"),
        (SMTP, "does not take these arguments"),
    ],
)
def test_a_notifier_that_will_not_do_is_told(settings, path, words):
    write(settings, path, "{colour: red}")
    (found,) = check_notifiers(settings, started=True)
    assert found.verdict == "wrong"
    assert words in found.message
    assert found.where.endswith("spec.notify.failure")


def test_a_connection_that_a_notifier_goes_by_and_airflow_lacks_is_told(settings, monkeypatch):
    write(settings, SMTP, WELL)
    loads, found = check_notifiers(settings, started=True)
    assert (loads.verdict, found.verdict) == ("right", "wrong")
    assert found.message.startswith("its smtp_conn_id is smtp_default, and Airflow gives no such connection")
    assert "airflow connections add smtp_default" in found.remedy
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", "smtp://localhost")
    assert [found.verdict for found in check_notifiers(settings, started=True)] == ["right", "right"]


def test_a_connection_is_not_missed_before_airflow_has_a_database(settings):
    write(settings, SMTP, WELL)
    _, found = check_notifiers(settings, started=False)
    assert (found.verdict, found.remedy) == ("not checked", "Run `airloom up`, then this again.")
