"""`airloom render`: the resolved spec, and the DAGs with their tasks, schedules, triggers and assets."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from airloom.settings import load_settings
from airloom.spec import DagPlan, Pipeline, build_plans, find_root, load_pipeline
from airloom.spec.plan import asset_uri


def run(arguments: list[str]) -> int:
    """Print one pipeline, resolved."""
    parser = argparse.ArgumentParser(prog="airloom render", description="The resolved spec, and the DAGs it makes.")
    parser.add_argument("path", type=Path, metavar="FILE")
    parser.add_argument("--root", type=Path, help="folder of pipeline files [the nearest `pipelines` above the file]")
    parser.add_argument("--environment", help="the overlay that applies [AIRLOOM_ENVIRONMENT]")
    parser.add_argument("--json", action="store_true", help="as one JSON object: pipeline, dags")
    options = parser.parse_args(arguments)
    environment = options.environment or load_settings().environment
    pipeline = load_pipeline(options.path, options.root or find_root(options.path), environment)
    resolved = pipeline.model_dump(mode="json", exclude_none=True)
    plans = build_plans(pipeline)
    if options.json:
        dags = [_describe(pipeline, plan) for plan in plans]
        print(json.dumps({"pipeline": resolved, "dags": dags}, indent=2, ensure_ascii=False))
        return 0
    print(yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True, width=120), end="")
    for plan in plans:
        print()
        print("\n".join(f"# {line}" for line in _format(_describe(pipeline, plan))))
    return 0


def _describe(pipeline: Pipeline, plan: DagPlan) -> dict[str, Any]:
    """A DAG as plain data."""
    return {
        "dag_id": plan.dag_id,
        "schedule": plan.schedule,
        "triggers": [asset_uri(pipeline, kind) for kind in plan.triggers],
        "others": plan.others.model_dump(mode="json", include={"assets", "aliases", "when"}) if plan.others else None,
        "tasks": [
            {
                "task_id": task.stage,
                "upstream": list(task.upstream),
                "updates": [asset_uri(pipeline, kind) for kind in task.outlets],
            }
            for task in plan.tasks
        ],
    }


def _format(dag: dict[str, Any]) -> Iterator[str]:
    starts = [f"cron {dag['schedule']}"] if dag["schedule"] else []
    starts += [f"asset {uri}" for uri in dag["triggers"]]
    if others := dag["others"]:
        names = [f"asset {name}" for name in others["assets"]] + [f"alias {name}" for name in others["aliases"]]
        starts.append((" and " if others["when"] == "all" else " or by ").join(names))
    yield f"DAG {dag['dag_id']}: started by {' or by '.join(starts) or 'hand'}"
    for task in dag["tasks"]:
        after = f" after {', '.join(task['upstream'])}" if task["upstream"] else ""
        updates = f" updates {', '.join(task['updates'])}" if task["updates"] else ""
        yield f"  {task['task_id']}{after}{updates}"
