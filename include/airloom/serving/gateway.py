"""Puts the gateway together from an installation's settings, and runs it until it is told to end."""

from __future__ import annotations

import logging
from functools import cache

import uvicorn
from fastapi import FastAPI

from airloom.serving.app import build_app
from airloom.serving.catalogue import ModelCatalogue, PipelineStores
from airloom.serving.feature_follower import FeatureFollower
from airloom.serving.metrics import GatewayMetrics
from airloom.serving.prediction_writer import PredictionWriter
from airloom.settings import Settings
from airloom.stages.wiring import EmbeddedPorts

_POLL_SECONDS = 0.5
_DRAIN_SECONDS = 30

log = logging.getLogger("airloom.serving")


def build_gateway(settings: Settings) -> FastAPI:
    """The application over the installation's registry, feature stores and prediction logs."""
    metrics = GatewayMetrics()
    ports = EmbeddedPorts(settings, settings.artifacts_uri)
    follower = FeatureFollower(_POLL_SECONDS)

    @cache
    def open_stores(team: str, pipeline: str) -> PipelineStores:
        own = EmbeddedPorts(settings, f"{settings.artifacts_uri}/{team}/{pipeline}", ports.object_store)
        return PipelineStores(lambda: follower.follow(own.feature_store), own.prediction_log)

    catalogue = ModelCatalogue(ports.model_registry, ports.experiment_tracker, open_stores, metrics, _POLL_SECONDS)
    return build_app(catalogue, PredictionWriter(metrics), metrics)


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; then requests in flight are answered, and their rows are logged."""
    log.info("serving %s on http://%s:%d", settings.tracking_uri, host, port)
    uvicorn.run(
        build_gateway(settings),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
