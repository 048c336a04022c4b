"""Metrics reach a collector by the interface that Airflow has set up in the process."""

from __future__ import annotations

import gzip
import os
import re
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import get_args

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from airloom_airflow import metrics

SEND = """
if {triggerer}:
    import airflow.jobs.triggerer_job_runner
try:
    if {triggerer}:
        from airflow.observability.metrics import stats_utils
        from airflow.observability.stats import Stats
    else:
        from airflow.sdk.observability.metrics import stats_utils
        from airflow.sdk.observability.stats import Stats
except ModuleNotFoundError:
    pass  # 3.1 sets up its own
else:
    try:
        Stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)
    except TypeError:  # 3.2
        Stats.initialize(factory=stats_utils.get_stats_factory(Stats))
from airloom_airflow import metrics
metrics.count("airloom.pod.lost", namespace="ops", stage="train")
metrics.time("airloom.pod.queueing", 1.5, namespace="ops", stage="train")
metrics.time("airloom.watch.lag", -0.5, namespace="ops")
"""
SEND_ALL = """
from typing import get_args
for name in get_args(metrics.Count):
    metrics.count(name, namespace="ops", stage="train")
for name in get_args(metrics.Time):
    metrics.time(name, 1.5, namespace="ops", stage="train")
"""


class Collector:
    """Takes metrics over OTLP, as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                bodies.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def points(self) -> dict[str, tuple[float, dict[str, str]]]:
        """Metric → sum of its last point, and its tags."""
        found = {}
        for body in self.bodies:
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                    times = (*metric.histogram.data_points, *metric.exponential_histogram.data_points)
                    for point in (*metric.sum.data_points, *metric.gauge.data_points, *times):
                        value = point.sum if point in times else point.as_int or point.as_double
                        found[metric.name] = (value, {tag.key: tag.value.string_value for tag in point.attributes})
        return found


@pytest.mark.parametrize("triggerer", [True, False])
def test_a_collector_of_opentelemetry_gets_what_a_triggerer_and_a_task_send(triggerer: bool) -> None:
    with Collector() as collector:
        settings = {
            "AIRFLOW__METRICS__OTEL_ON": "True",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "AIRFLOW__METRICS__OTEL_HOST": "127.0.0.1",  # 3.1 knows no other way
            "AIRFLOW__METRICS__OTEL_PORT": collector.url.rpartition(":")[2],
        }
        subprocess.run([sys.executable, "-c", SEND.format(triggerer=triggerer)], env=os.environ | settings, check=True)
        tags = {"namespace": "ops", "stage": "train"}
        assert collector.points["airflow.airloom.pod.lost"] == (1, tags)
        assert collector.points["airflow.airloom.pod.queueing"] == (1500, tags)
        assert collector.points["airflow.airloom.watch.lag"] == (0, {"namespace": "ops"})


class StatsdReceiver:
    """Takes metrics by UDP, as a StatsD server does."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = str(self._socket.getsockname()[1])

    def __enter__(self) -> StatsdReceiver:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def read(self, count: int) -> list[str]:
        """So many metrics as they came, `name:value|kind`, but for Airflow's own."""
        found: list[str] = []
        self._socket.settimeout(30)
        while len(found) < count:
            found += [line for line in self._socket.recv(65536).decode().splitlines() if "airloom." in line]
        return found


@pytest.mark.parametrize("triggerer", [True, False])
def test_a_statsd_server_gets_every_metric_that_a_triggerer_and_a_task_send(triggerer: bool) -> None:
    counts, times = get_args(metrics.Count), get_args(metrics.Time)
    with StatsdReceiver() as receiver:
        settings = {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": receiver.port,
        }
        program = SEND.format(triggerer=triggerer) + SEND_ALL
        subprocess.run([sys.executable, "-c", program], env=os.environ | settings, check=True)
        first, *more = receiver.read(3 + len(counts) + len(times))
    assert first == "airflow.airloom.pod.lost:1|c"
    assert more[:2] == ["airflow.airloom.pod.queueing:1500.000000|ms", "airflow.airloom.watch.lag:0.000000|ms"]
    assert more[2:] == [
        *(f"airflow.{name}:1|c" for name in counts),
        *(f"airflow.{name}:1500.000000|ms" for name in times),
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

    monkeypatch.setattr(metrics, "load_stats", lambda: Broken)
    metrics.count("airloom.pod.lost")
    assert "airloom.pod.lost is not sent: no route" in caplog.text
