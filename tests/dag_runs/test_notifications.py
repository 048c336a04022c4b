"""Failure, refusal, breach and promotion of whole runs, told by Airflow's SMTP notifier to a real mail server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow import __version__ as airflow_version
from airflow.sdk import DAG
from packaging.version import Version
from tests.dag_runs.conftest import instruct
from tests.smtp_server import Mailbox, receive_mail
from tests.unit.airloom_airflow.pipelines import FULL

from airloom_airflow.notifications.late import notify_late

SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"


def notify(*events: str) -> str:
    """A `notify` section whose every event sends a mail that says what it knows."""
    subject = "{{ airloom.event }} of {{ airloom.pipeline }}: {{ airloom.reason }} (v{{ airloom.model_version }})"
    args = {"to": "ops@example.org", "from_email": "airloom@example.org", "subject": subject, "html_content": "see"}
    section = {event: [{"notifier": SMTP, "args": args}] for event in events}
    return "  notify: " + json.dumps(section).replace("{", "{{").replace("}", "}}") + "\n"


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    with receive_mail() as box:
        extra = {"disable_ssl": True, "disable_tls": True, "timeout": 10, "retry_limit": 1}
        connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": box.port, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
        yield box


tells_callbacks_why = pytest.mark.skipif(
    Version(airflow_version) < Version("3.3"),
    reason="DAG.test of Airflow 3.1 and 3.2, unlike their workers, says not why a task fails",
)

ALL = notify("failure", "refusal", "breach", "promotion")


@tells_callbacks_why
def test_a_failure_is_told_once_with_its_reason(dags: Callable[..., dict[str, DAG]], mailbox: Mailbox):
    train = dags("mailing", FULL + ALL)["train"]
    instruct(train, behaviour={"train": "permanent"})
    train.test()
    assert mailbox.subjects == ["failure of ops.mailing: train failed for a permanent reason (v)"]
    assert mailbox.messages[0]["To"] == "ops@example.org"


@tells_callbacks_why
def test_a_gate_that_says_no_is_a_refusal(dags: Callable[..., dict[str, DAG]], mailbox: Mailbox):
    train = dags("refusing", FULL + ALL)["train"]
    instruct(train, behaviour={"gate": "permanent"}, errors={"gate": "GateFailedError"})
    train.test()
    assert mailbox.subjects == ["refusal of ops.refusing: gate failed for a permanent reason (v)"]


@tells_callbacks_why
def test_a_refusal_that_nobody_asked_for_goes_where_failures_go(dags: Callable[..., dict[str, DAG]], mailbox: Mailbox):
    train = dags("grumbling", FULL + notify("failure"))["train"]
    instruct(train, behaviour={"gate": "permanent"}, errors={"gate": "GateFailedError"})
    train.test()
    assert mailbox.subjects == ["refusal of ops.grumbling: gate failed for a permanent reason (v)"]


def test_a_breach_and_a_promotion_are_told_and_a_calm_run_is_not(dags: Callable[..., dict[str, DAG]], mailbox: Mailbox):
    made = dags("telling", FULL.replace("drift: {{", "on_breach: alert, drift: {{") + ALL)
    instruct(made["monitor"], facts={"monitor": {"breached": False, "reason": "calm"}})
    made["monitor"].test()
    made["train"].test()
    assert mailbox.subjects == []
    facts = {"breached": True, "drift_id": "d1", "reason": "the season turned", "model_version": "3"}
    instruct(made["monitor"], facts={"monitor": facts, "promote": {"model_version": "4"}})
    made["monitor"].test()
    made["promote"].test()
    assert mailbox.subjects == [
        "breach of ops.telling: the season turned (v3)",
        "promotion of ops.telling: version 4 is champion now (v4)",
    ]


def test_a_notifier_that_cannot_be_loaded_costs_the_run_nothing_and_is_logged(
    dags: Callable[..., dict[str, DAG]], caplog: pytest.LogCaptureFixture, capsys: Any
):
    text = FULL + "  notify: {{promotion: [{{notifier: nowhere.to_be.Found}}]}}\n"
    run = dags("lonely", text)["promote"].test()
    assert {str(task.state) for task in run.get_task_instances()} == {"success"}
    told = capsys.readouterr()
    assert "nowhere.to_be.Found cannot be loaded" in caplog.text + told.out + told.err


def test_a_late_run_is_told_by_mail_from_the_triggerers_loop(database: None, mailbox: Mailbox):
    args = {"to": "ops@example.org", "from_email": "airloom@example.org", "html_content": "see"}
    subject = "{{ airloom.pipeline }} is late: {{ dag_run.run_id }}"
    context = {"dag_run": {"run_id": "r1"}}
    asyncio.run(notify_late(SMTP, {**args, "subject": subject}, {"pipeline": "ops.slow"}, context))
    assert mailbox.subjects == ["ops.slow is late: r1"]
