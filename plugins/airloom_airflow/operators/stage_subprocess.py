"""A stage as a process of its own on this machine: the embedded runtime's operator.

`dag_factory` builds it. It starts the stage, relays its log, and turns its answer into a task's end; it never looks
into the data. The pipeline stays in memory: it is no part of the serialised DAG.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airloom.errors import AirloomError, ConfigError
from airloom.protocol.context import StageContext
from airloom.protocol.result import ResultPointer
from airloom.settings import Settings, load_settings
from airloom.spec.cluster import load_cluster
from airloom.spec.pipeline import Pipeline
from airloom.spec.team import build_masked_variables
from airloom_airflow.operators.artifact_link import STAGE_LINKS, build_addresses
from airloom_airflow.operators.attempt import build_attempt
from airloom_airflow.operators.failures import translated_for_airflow
from airloom_airflow.operators.stage_context import build_stage_context
from airloom_airflow.operators.stage_name import find_stage
from airloom_airflow.operators.stage_result import load_result
from airloom_airflow.stage_secrets import load_secrets, mask_secrets

if TYPE_CHECKING:
    from airflow.sdk import Context


class StageSubprocessOperator(BaseOperator):
    """Run one stage in a process.

    Args:
        pipeline: the resolved pipeline file.
        stage: its name; left out, the last part of `task_id`.
        task_id: left out, the stage's name.
        earlier: the stages before this one in the run.
        kwargs: Airflow's own.

    The task's value (XCom) is the URI of the stage's result document. A permanent failure fails the task at once, a
    transient one is retried.
    """

    ui_color = "#e8f4f2"

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        stage: str | None = None,
        earlier: tuple[str, ...] = (),
        task_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.stage = find_stage(stage, task_id)
        super().__init__(task_id=task_id or self.stage, **kwargs)
        self.pipeline = pipeline
        self.earlier = earlier
        self.operator_extra_links = STAGE_LINKS.get(self.stage, ())
        self.links: dict[str, str] = {}
        self._running = False

    def execute(self, context: Context) -> str:
        """Start the stage and wait for it; returns its result's URI.

        Errors:
            AirflowFailException: a permanent failure.
            AirflowException: a transient one.
        """
        settings = load_settings()
        stage_context = build_stage_context(self.pipeline, self.stage, self.earlier, settings, context)
        stage_context = stage_context.model_copy(update={"attempt": build_attempt()})
        with translated_for_airflow():
            try:
                pointer = self._launch(stage_context, settings.stage_host, self._load_secrets(settings))
            except AirloomError as error:
                self._keep_links(getattr(error, "pointer", None), settings.artifacts_uri)
                raise
        self._keep_links(pointer, settings.artifacts_uri)
        return pointer.result_uri

    def on_kill(self) -> None:
        """Airflow calls it in the task's main thread on SIGTERM: the exception makes `launch_stage` end the stage."""
        if self._running:
            self._running = False
            raise KeyboardInterrupt("the task was ended from outside")

    def _load_secrets(self, settings: Settings) -> dict[str, str]:
        """The variables whose values Airflow has, as the cluster file names them, where the installation has one."""
        if settings.cluster_file is None:
            return {}
        cluster, team = load_cluster(settings.cluster_file), self.pipeline.metadata.team
        if names := cluster.list_kubernetes_secrets(team):
            self.log.warning("This stage is a process: it gets nothing of the Kubernetes Secrets %s.", ", ".join(names))
        secrets = cluster.list_airflow_secrets(team)
        return {**load_secrets(secrets), **build_masked_variables(secrets)}

    def _launch(self, stage_context: StageContext, host: Path | None, secrets: Mapping[str, str]) -> ResultPointer:
        from airloom.protocol.launch import launch_stage

        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.default_int_handler)  # Airflow's task process would die unheard
        mask_secrets(os.environ)
        self._running = True
        try:
            return launch_stage(
                stage_context,
                python=require_stage_python(os.environ),
                host=host,
                environ={**build_stage_environ(os.environ), **secrets},
                log=self.log.info,
                cpu_threads=int(os.environ.get("AIRLOOM_STAGE_CPU_THREADS", "1")),
            )
        finally:
            self._running = False

    def _keep_links(self, pointer: ResultPointer | None, artifacts_uri: str) -> None:
        """Keep the result's links for the web UI. A result that cannot be read costs the links, not the task."""
        if pointer is None or not self.operator_extra_links:
            return
        try:
            links = load_result(pointer.result_uri, pointer.digest).links
        except AirloomError as error:
            self.log.warning("No links are shown: %s", error)
            return
        self.links = build_addresses(links, artifacts_uri)


def require_stage_python(environ: Mapping[str, str]) -> str:
    """The Python that runs stages.

    Errors:
        ConfigError: `AIRLOOM_STAGE_PYTHON` is not set.
    """
    python = environ.get("AIRLOOM_STAGE_PYTHON")
    if not python:
        raise ConfigError(
            "AIRLOOM_STAGE_PYTHON is not set. Set it to the Python of the environment that has airloom and its extras."
        )
    return python


def build_stage_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The task's environment without Airflow's own variables: they hold its secrets, and mean nothing to a stage."""
    return {name: value for name, value in environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
