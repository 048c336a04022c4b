"""`airloom run`: a pipeline's stages in order, without Airflow, each a process of its own. For development."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from airloom.errors import AirloomError, ConfigError
from airloom.protocol import ResultPointer, StageContext, StageResult
from airloom.protocol.launch import StageFailedError, StageInterruptedError, launch_stage
from airloom.settings import Settings, load_settings
from airloom.spec import Pipeline, build_plans, find_root, load_pipeline
from airloom.spec.plan import FAMILIES

_KEPT_LINES = 2000


def run(arguments: list[str]) -> int:
    """Run one family of the pipeline's stages; 1 when a stage fails."""
    parser = argparse.ArgumentParser(prog="airloom run", description=__doc__)
    parser.add_argument("file", type=Path, help="the pipeline file")
    parser.add_argument("--until", metavar="STAGE", help="stop after this stage")
    parser.add_argument("--family", choices=FAMILIES, default="train", help="which DAG's stages [%(default)s]")
    parser.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="such as version=3")
    parser.add_argument("--environment", help="overlay that applies [AIRLOOM_ENVIRONMENT]")
    parser.add_argument("--verbose", action="store_true", help="show the stages' logs as they come")
    options = parser.parse_args(arguments)
    settings = load_settings()
    settings.home.mkdir(parents=True, exist_ok=True)
    file = options.file.absolute()
    pipeline = load_pipeline(file, find_root(file), options.environment or settings.environment)
    return _Run(pipeline, settings, _read_params(options.param), Console(), options.verbose).run(
        options.family, options.until
    )


class _Run:
    def __init__(
        self, pipeline: Pipeline, settings: Settings, params: dict[str, str], console: Console, verbose: bool
    ) -> None:
        self._pipeline = pipeline
        self._settings = settings
        self._params = params
        self._console = console
        self._verbose = verbose
        now = datetime.now(UTC)
        self._run_id = f"local-{now:%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
        metadata = pipeline.metadata
        self._prefix = f"{settings.artifacts_uri}/{metadata.team}/{metadata.name}"

    def run(self, family: str, until: str | None) -> int:
        stages = self._choose(family, until)
        self._console.print(
            f"[bold]{self._pipeline.full_name}[/bold] {family}, run {self._run_id}: {' → '.join(stages)}"
        )
        inputs: dict[str, str] = {}
        results: list[StageResult] = []
        for stage in stages:
            context = self._build_context(stage, inputs)
            started = time.perf_counter()
            lines: deque[str] = deque(maxlen=_KEPT_LINES)
            failure: AirloomError | None = None
            pointer: ResultPointer | None = None
            try:
                pointer = self._launch(context, lines)
            except (StageFailedError, StageInterruptedError) as error:
                pointer, failure = error.pointer, error
            except AirloomError as error:
                failure = error
            seconds = time.perf_counter() - started
            result = _read(pointer)
            if result is not None:
                results.append(result)
            self._tell(stage, seconds, result, failure, lines)
            if failure is not None:
                self._summarise(results)
                return 1
            inputs[stage] = context.result_uri
        self._summarise(results)
        return 0

    def _choose(self, family: str, until: str | None) -> list[str]:
        plans = {plan.family: plan for plan in build_plans(self._pipeline)}
        if family not in plans:
            raise ConfigError(
                f"{self._pipeline.full_name} has no {family} DAG; it has: {', '.join(plans)}. "
                "Add the section to its file"
            )
        stages = [task.stage for task in plans[family].tasks if task.stage != "drift"]
        if until is None:
            return stages
        if until not in stages:
            raise ConfigError(f"--until {until!r} is no stage of {family}; there are: {', '.join(stages)}")
        return stages[: stages.index(until) + 1]

    def _build_context(self, stage: str, inputs: dict[str, str]) -> StageContext:
        return StageContext(
            team=self._pipeline.metadata.team,
            pipeline=self._pipeline.metadata.name,
            stage=stage,
            run_id=self._run_id,
            attempt=1,
            spec=self._pipeline.model_dump(mode="json"),
            pipeline_uri=self._prefix,
            inputs=dict(inputs),
            params=dict(self._params),
        )

    def _launch(self, context: StageContext, lines: deque[str]) -> ResultPointer:
        def log(line: str) -> None:
            lines.append(line)
            if self._verbose:
                self._console.print(f"  {line}", style="dim", markup=False, highlight=False)

        with self._console.status(f"{context.stage} …"):
            return launch_stage(
                context,
                python=os.environ.get("AIRLOOM_STAGE_PYTHON", sys.executable),
                host=self._settings.stage_host,
                environ={**os.environ, **_spell(self._settings)},
                log=log,
                cpu_threads=int(os.environ.get("AIRLOOM_STAGE_CPU_THREADS", "0")) or os.cpu_count() or 1,
            )

    def _tell(
        self,
        stage: str,
        seconds: float,
        result: StageResult | None,
        failure: AirloomError | None,
        lines: deque[str],
    ) -> None:
        if failure is None:
            told = "unchanged, reused" if result and result.reused_from else _summary(result)
            self._console.print(f"[green]✓[/green] {stage:<10} {seconds:6.1f} s  {told}", highlight=False)
            return
        if not self._verbose:
            for line in lines:
                self._console.print(f"  {line}", style="dim", markup=False, highlight=False)
        self._console.print(f"[red]✗[/red] {stage:<10} {seconds:6.1f} s  ", end="")
        self._console.print(str(failure), markup=False, highlight=False)

    def _summarise(self, results: list[StageResult]) -> None:
        metrics = {name: value for result in results for name, value in result.metrics.items() if "." not in name}
        if metrics:
            table = Table("metric", "value", title="Metrics", title_justify="left")
            for name, value in metrics.items():
                table.add_row(name, f"{value:.4f}")
            self._console.print(table)
        for result in results:
            for title, uri in result.links.items():
                self._console.print(f"{title:<18} {uri}", soft_wrap=True, highlight=False)


def _summary(result: StageResult | None) -> str:
    """What of a result is worth a line."""
    if result is None:
        return ""
    parts = [f"{name} {value:.4f}" for name, value in result.metrics.items() if "." not in name]
    if result.verdicts:
        parts.append(f"{sum(verdict.passed for verdict in result.verdicts)} of {len(result.verdicts)} checks passed")
    told = ("dataset_version", "rows", "train_rows", "model_name", "model_version", "previous_version", "reason")
    parts += [f"{name} {result.facts[name]}" for name in told if result.facts.get(name) is not None]
    return ", ".join(parts[:6])


def _read(pointer: ResultPointer | None) -> StageResult | None:
    if pointer is None:
        return None
    from airloom.adapters.local_folder import LocalFolderObjectStore

    return StageResult.from_json(LocalFolderObjectStore().read(pointer.result_uri))


def _read_params(pairs: list[str]) -> dict[str, str]:
    lacking = [pair for pair in pairs if "=" not in pair]
    if lacking:
        raise ConfigError(f"--param {lacking[0]!r} is no NAME=VALUE pair, such as version=3")
    return dict(pair.split("=", 1) for pair in pairs)


def _spell(settings: Settings) -> dict[str, str]:
    """The settings as variables, so that a stage started elsewhere sees the same."""
    return {
        "AIRLOOM_HOME": str(settings.home),
        "AIRLOOM_DATA_ROOT": str(settings.data_root),
        "AIRLOOM_PIPELINES": str(settings.pipelines),
        "AIRLOOM_ARTIFACTS_URI": settings.artifacts_uri,
        "AIRLOOM_TRACKING_URI": settings.tracking_uri,
        "AIRLOOM_GATEWAY_URL": settings.gateway_url,
    }
