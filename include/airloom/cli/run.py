"""`airloom run`: a pipeline's stages in the order of its plan, each a process of its own, without Airflow.

Where the installation's embedded runtime runs, its MLflow and its gateway are theirs.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue
from pydantic_core import from_json
from rich.markup import escape
from rich.table import Table

from airloom.cli.console import Console
from airloom.embedded.runtime import join_running
from airloom.errors import AirloomError, ConfigError
from airloom.protocol import StageContext, StageResult
from airloom.protocol.context import result_uri
from airloom.protocol.launch import StageFailedError, StageInterruptedError, launch_stage
from airloom.settings import Settings, load_settings
from airloom.spec import Pipeline, find_pipeline_files, find_root, load_pipeline
from airloom.spec.orchestration import FAMILIES, Family
from airloom.spec.parameters import apply_parameters, check_parameters
from airloom.spec.plan import DagPlan, asset_uri, build_plan, build_plans
from airloom.stages.wiring import EmbeddedPorts

_KEPT_LINES = 400


def run(arguments: list[str]) -> int:
    """Run the stages; 0 when all succeeded, else 1."""
    options = _parse(arguments)
    environ = join_running(os.environ)
    settings = load_settings(environ)
    file = options.file or _find_file(settings.pipelines)
    pipeline = load_pipeline(file, find_root(file), options.environment or settings.environment)
    plan = _find_plan(pipeline, options.family)
    stages = [task.stage for task in plan.tasks]
    if options.until and options.until not in stages:
        raise ConfigError(f"--until {options.until}: the {options.family} plan has no such stage; it has: "
                          f"{', '.join(stages)}")  # fmt: skip
    settings.home.mkdir(parents=True, exist_ok=True)
    params = check_parameters(plan.family, dict(options.param))
    seen = apply_parameters(pipeline, plan.family, params)
    local = LocalRun(seen, settings, environ, params=params, verbose=options.verbose)
    local.console.print(f"[bold]{pipeline.full_name}[/bold] {options.family}, run {local.run_id}", highlight=False)
    done = True
    for stage in stages:
        done = local.show_drift() if stage == "drift" else local.run_stage(stage)
        if not done or stage == options.until:
            break
    local.print_summary()
    return 0 if done else 1


@dataclass
class LocalRun:
    """One run of a plan: its stages' results, and what is told of them."""

    pipeline: Pipeline
    settings: Settings
    environ: Mapping[str, str]
    params: dict[str, JsonValue]
    verbose: bool
    console: Console = field(default_factory=lambda: Console(soft_wrap=not sys.stdout.isatty()))
    run_id: str = field(default_factory=lambda: f"local-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}")
    results: dict[str, StageResult] = field(default_factory=dict)

    def run_stage(self, stage: str) -> bool:
        """Run one stage and tell how it went; whether it succeeded."""
        context = self._build_context(stage)
        lines: deque[str] = deque(maxlen=_KEPT_LINES)
        failure: AirloomError | None = None
        published: str | None = None
        started = time.monotonic()
        with self.console.status(f"{stage} …"):
            try:
                published = launch_stage(
                    context,
                    python=sys.executable,
                    host=self.settings.stage_host,
                    environ=self.environ,
                    log=self._print_line if self.verbose else lines.append,
                    cpu_threads=int(self.environ.get("AIRLOOM_STAGE_CPU_THREADS") or os.cpu_count() or 1),
                ).result_uri
            except (StageFailedError, StageInterruptedError) as error:
                failure, published = error, error.pointer.result_uri
            except AirloomError as error:
                failure = error
        seconds = time.monotonic() - started
        if published:
            store = EmbeddedPorts(self.settings, context.pipeline_uri).object_store
            self.results[stage] = StageResult.from_json(store.read(published))
        if failure:
            for line in lines:
                self._print_line(line)
            self._print_state(stage, "[red]failed[/red]   ", seconds)
            self.console.print(f"[red]{stage} failed:[/red] {escape(str(failure))}", highlight=False)
            return False
        state = "[cyan]reused[/cyan]   " if self.results[stage].reused_from else "[green]succeeded[/green]"
        self._print_state(stage, state, seconds)
        return True

    def show_drift(self) -> bool:
        """`drift` is Airflow's own task; say what it would do."""
        asset = asset_uri(self.pipeline, "drift")
        facts = self.results["monitor"].facts
        starts = f"in Airflow this updates {asset}, which starts a training"
        text = starts if facts.get("breached") else "nothing to start"
        self.console.print(f"  {'drift':<9} {text}: {escape(str(facts.get('reason')))}", highlight=False)
        return True

    def print_summary(self) -> None:
        """Metrics, verdicts and links of all stages that have a result."""
        table = Table(title=f"{self.pipeline.full_name}, run {self.run_id}", title_justify="left")
        for column in ("stage", "what", "value"):
            table.add_column(column, overflow="fold")
        for stage, result in self.results.items():
            for name, metric in result.metrics.items():
                table.add_row(stage, escape(name), f"{metric:.4g}")
            for verdict in result.verdicts:
                mark = "[green]passed[/green]" if verdict.passed else "[red]failed[/red]"
                table.add_row(stage, f"{mark} {escape(verdict.name)}", escape(verdict.reason))
            for name, link in result.links.items():
                table.add_row(stage, escape(name), escape(link))
        if table.row_count:
            self.console.print(table)

    def _build_context(self, stage: str) -> StageContext:
        metadata = self.pipeline.metadata
        uri = f"{self.settings.artifacts_uri}/{metadata.team}/{metadata.name}"
        empty = StageContext(
            team=metadata.team,
            pipeline=metadata.name,
            stage=stage,
            run_id=self.run_id,
            attempt=1,
            spec=self.pipeline.model_dump(mode="json"),
            pipeline_uri=uri,
            params=self.params,
            window_end=str(self.params["window_end"]) if "window_end" in self.params else None,
        )
        return empty.model_copy(update={"inputs": {name: result_uri(empty.run_uri, name) for name in self.results}})

    def _print_line(self, line: str) -> None:
        self.console.print(f"    [dim]{escape(line)}[/dim]", highlight=False)

    def _print_state(self, stage: str, state: str, seconds: float) -> None:
        told = _format(self.results[stage]) if stage in self.results else ""
        self.console.print(f"  {stage:<9} {state} {seconds:6.1f} s  {escape(told)}", highlight=False)


def _format(result: StageResult) -> str:
    """A result's few words: its first metrics, how its verdicts went, its version or row count."""
    words = [f"{name} {value:.4g}" for name, value in list(result.metrics.items())[:3]]
    if result.verdicts:
        passed = sum(verdict.passed for verdict in result.verdicts)
        words.append(f"{passed} of {len(result.verdicts)} checks passed")
    words.extend(
        f"{name.replace('_', ' ')} {result.facts[name]}"
        for name in ("rows", "train_rows", "model_version", "endpoint")
        if result.facts.get(name) is not None
    )
    if lost := result.facts.get("rows_without_target"):
        words.append(f"{lost} rows without a target left out")
    return ", ".join(words)


def _find_file(folder: Path) -> Path:
    """The one pipeline file of a folder, for whoever names none."""
    files = list(find_pipeline_files(folder))
    if not files:
        raise ConfigError(f"{folder} holds no pipeline file; write one with `airloom init`, or give its path")
    if len(files) > 1:
        raise ConfigError(
            f"{folder} holds {len(files)} pipeline files; give the one to run: {', '.join(map(str, files))}"
        )
    return files[0]


def _find_plan(pipeline: Pipeline, family: Family) -> DagPlan:
    if plan := build_plan(pipeline, family):
        return plan
    has = ", ".join(plan.family for plan in build_plans(pipeline))
    raise ConfigError(f"{pipeline.full_name} has no {family} plan; it has: {has}. Add the section for it to its file.")


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="airloom run", description="Run a pipeline's stages in order, here.")
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="the pipeline file [the one below AIRLOOM_PIPELINES]"
    )
    parser.add_argument("--family", choices=FAMILIES, default="train", help="which plan to follow [%(default)s]")
    parser.add_argument("--until", metavar="STAGE", help="the last stage to run")
    parser.add_argument(
        "--param", action="append", default=[], type=_parse_param, metavar="NAME=VALUE",
        help="what the run is started with; a mapping is JSON, such as params={\"max_iter\": 10}",
    )  # fmt: skip
    parser.add_argument("--environment", help="the overlay that applies [AIRLOOM_ENVIRONMENT]")
    parser.add_argument("--verbose", action="store_true", help="show the stages' logs as they come")
    return parser.parse_args(arguments)


def _parse_param(text: str) -> tuple[str, JsonValue]:
    name, found, value = text.partition("=")
    if not found or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    if not value.startswith("{"):
        return name, value
    try:
        return name, from_json(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: the value is no whole JSON: {error}") from error
