"""The gateway's Prometheus metrics. Names begin `airloom_gateway_`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class GatewayMetrics:
    """What one gateway counts. A registry of its own, so that two gateways in a process keep apart."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = self._counter("requests", "Inference requests", "model", "version", "code")
        self.rows = self._counter("rows", "Rows that were answered", "model", "version")
        self.reloads = self._counter("reloads", "Versions that were loaded", "model")
        self.failed_reloads = self._counter("failed_reloads", "Versions that could not be loaded", "model")
        self.lost_rows = self._counter("prediction_log_lost_rows", "Answered rows that the full backlog refused")
        self.failed_writes = self._counter("prediction_log_failed_writes", "Writes of the log that failed")
        self.seconds = Histogram(
            "airloom_gateway_request_seconds",
            "Time from a request's body to its answer",
            ["model"],
            registry=self._registry,
            buckets=_BUCKETS,
        )
        self.served = Gauge(
            "airloom_gateway_model_info", "1 for each version served", ["model", "version"], registry=self._registry
        )
        self.backlog = Gauge(
            "airloom_gateway_prediction_log_backlog_rows", "Answered rows not yet in the log", registry=self._registry
        )
        self.registry_up = Gauge(
            "airloom_gateway_registry_up", "1 while the model registry answers", registry=self._registry
        )

    def render(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"airloom_gateway_{name}", text, labels, registry=self._registry)
