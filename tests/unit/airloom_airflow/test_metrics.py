"""Metrics reach a StatsD server and OpenTelemetry by the interface that Airflow has set up in the process."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from typing import get_args

import pytest

from airloom_airflow import metrics

SEND = """
import sys
from airflow.configuration import conf
if {triggerer}:
    import airflow.jobs.triggerer_job_runner
    from airflow.observability.metrics import stats_utils
    from airflow.observability import stats
else:
    from airflow.sdk.observability.metrics import stats_utils
    from airflow.sdk.observability import stats
stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)
from airloom_airflow import metrics
metrics.count("airloom.pod.lost", namespace="ops", stage="train")
metrics.time("airloom.pod.queueing", 1.5, namespace="ops", stage="train")
metrics.time("airloom.watch.lag", -0.5, namespace="ops")
"""


@pytest.mark.parametrize("triggerer", [True, False])
def test_a_statsd_server_hears_what_a_triggerer_and_a_task_send(triggerer: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(60)
        settings = {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(server.getsockname()[1]),
        }
        subprocess.run([sys.executable, "-c", SEND.format(triggerer=triggerer)], env=os.environ | settings, check=True)
        heard = [server.recv(1024).decode() for _ in range(3)]
    assert heard == [
        "airflow.airloom.pod.lost:1|c",
        "airflow.airloom.pod.queueing:1500.000000|ms",
        "airflow.airloom.watch.lag:0.000000|ms",
    ]


def test_the_docstring_names_every_metric() -> None:
    named = re.findall(r"^    (airloom\.[a-z_.]+)", metrics.__doc__ or "", re.MULTILINE)
    assert sorted(named) == sorted((*get_args(metrics.Count), *get_args(metrics.Time)))


def test_a_metric_that_cannot_be_sent_is_logged_and_harms_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def incr(self, *args: object, **more: object) -> None:
            raise ConnectionError("no route")

    monkeypatch.setattr(metrics, "_load_stats", lambda path: Broken)
    metrics.count("airloom.pod.lost")
    assert "airloom.pod.lost is not sent: no route" in caplog.text
