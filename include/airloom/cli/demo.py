"""`airloom demo`: the flight pipeline's life on real data, January to September 2013, through the embedded Airflow.

It stays up at its end, until `airloom down`; Ctrl-C before that stops everything.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rich.markup import escape

from airloom.cli.console import Console
from airloom.cli.status import find_places
from airloom.demo.life import Life, landing_folder, wait_for_dags
from airloom.demo.report import print_story
from airloom.demo.world import World
from airloom.embedded import processes
from airloom.embedded.runtime import Runtime
from airloom.errors import ConfigError
from airloom.settings import Settings, load_settings
from airloom.spec import Pipeline, find_root, load_pipeline
from airloom.stages.wiring import EmbeddedPorts

_PIPELINE = Path("ops") / "flight_delay.yaml"
_TRAINING_MONTHS = (1, 2, 3)
_LIVE_MONTHS = (4, 5, 6, 7, 8, 9)
_FLIGHTS_A_MONTH = 4000
_SAMPLE_SECONDS = 1.0


def run(arguments: list[str]) -> int:
    """Live the life; 0 when it came to its end."""
    parser = argparse.ArgumentParser(prog="airloom demo", description=__doc__)
    parser.add_argument("--stop", action="store_true", help="stop everything at the end")
    options = parser.parse_args(arguments)
    os.environ.setdefault("AIRLOOM_ENVIRONMENT", "demo")
    settings = load_settings()
    console = Console(highlight=False)
    started = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:5.0f} s[/dim]  {escape(text)}", soft_wrap=True)

    runtime = Runtime(settings, say=lambda text: say(f"waiting for {text}"))
    _clear(settings, runtime)
    say("starting Airflow, MLflow, the gateway and the stage host")
    runtime.start()
    try:
        with PeakMemory(runtime) as memory:
            life = _live(settings, runtime, say)
    except BaseException:
        runtime.stop()
        raise
    seconds = time.monotonic() - started
    places = find_files(settings, life.pipeline) if options.stop else _find_places(runtime, life, settings)
    print_story(console, life.story, places)
    console.print(f"{seconds:.0f} s in all; at most {memory.peak / 1e9:.2f} GB of memory for everything together")
    (settings.home.parent / "demo.json").write_text(
        json.dumps({"seconds": round(seconds, 1), "peak_memory_bytes": memory.peak})
    )
    if options.stop:
        runtime.stop()
        console.print("Everything is stopped. `make demo` without STAY=0 stays up, for a look.")
    else:
        runtime.let_go()
        console.print("It stays up until `make down`.")
    return 0


class PeakMemory:
    """Samples the memory of the runtime and of this process, while its block runs.

    Attributes:
        peak: the most that was seen; bytes.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)
        self.peak = 0

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            now = self._runtime.memory_bytes() + processes.memory_bytes([os.getpid()])
            self.peak = max(self.peak, now)
            if self._over.wait(_SAMPLE_SECONDS):
                return


def _live(settings: Settings, runtime: Runtime, say: Callable[[str], None]) -> Life:
    path = settings.pipelines / _PIPELINE
    pipeline = load_pipeline(path, find_root(path), settings.environment)
    uri = f"{settings.artifacts_uri}/{pipeline.metadata.team}/{pipeline.metadata.name}"
    api = runtime.api()
    wait_for_dags(api, pipeline)
    life = Life(
        pipeline=pipeline,
        pipeline_uri=uri,
        api=api,
        world=World(landing_folder(settings.data_root), settings.home / "world"),
        gateway_url=runtime.addresses.gateway,
        read=EmbeddedPorts(settings, uri).object_store.read,
        say=say,
    )
    life.begin(_TRAINING_MONTHS)
    for month in _LIVE_MONTHS:
        life.live(month, _FLIGHTS_A_MONTH)
    scored = life.score()
    say(f"the champion scored {scored.facts.get('rows')} flights in batch")
    return life


def _clear(settings: Settings, runtime: Runtime) -> None:
    """Start afresh: an earlier demo's home and flights go.

    Errors:
        ConfigError: it still runs; or the home folder holds something that no demo made.
    """
    if state := runtime.state:
        raise ConfigError(f"a runtime is up in {settings.home} ({state.addresses.airflow}); stop it with `make down`")
    made_by = settings.home / "made-by-airloom-demo"
    if settings.home.exists() and any(settings.home.iterdir()) and not made_by.exists():
        raise ConfigError(
            f"{settings.home} holds something that no demo made, and the demo starts afresh. Set AIRLOOM_HOME to a "
            "folder of its own, as `make demo` does."
        )
    shutil.rmtree(settings.home, ignore_errors=True)
    shutil.rmtree(landing_folder(settings.data_root), ignore_errors=True)
    settings.home.mkdir(parents=True)
    made_by.touch()


def _find_places(runtime: Runtime, life: Life, settings: Settings) -> dict[str, str]:
    artifacts = f"{runtime.addresses.airflow}/airloom/artifacts"
    reports = {
        f"Evidently, {month.month}": month.report.replace(settings.artifacts_uri, artifacts)
        for month in life.story.months
        if month.report
    }
    return {**find_places(runtime), **reports, **find_files(settings, life.pipeline)}


def find_files(settings: Settings, pipeline: Pipeline) -> dict[str, str]:
    """What is left to look at once nothing runs."""
    return {
        "Lineage": f"airloom lineage {pipeline.full_name}@champion --file {settings.lineage_path}",
        "Logs and databases": str(settings.home),
    }
