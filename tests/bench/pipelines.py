"""Pipeline files for the bench: one that uses every family, many times under other names."""

from __future__ import annotations

from pathlib import Path

from airloom.spec import build_plans, load_pipeline

TEXT = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {{name: {name}, team: {team}, owner: somebody, tags: [bench], description: One of many.}}
spec:
  schedule: "@weekly"
  data:
    sources:
      rows: {{type: parquet, path: rows.parquet}}
    expectations:
      - expect_column_values_to_not_be_null: {{column: y}}
  features:
    views:
      rows: {{entity: id, columns: [a]}}
  train: {{target: y, estimator: sklearn.linear_model.LogisticRegression}}
  evaluate: {{metrics: [roc_auc_score]}}
  test: {{max_disagreement: 0.5}}
  gates: {{thresholds: {{roc_auc_score: {{min: 0.6}}}}}}
  promote: {{auto: true}}
  deploy: {{target: gateway}}
  score:
    source: {{type: parquet, path: rows.parquet}}
    sink: {{type: parquet, path: scores.parquet}}
  monitor: {{schedule: "@daily", drift: {{share: 0.5}}, cooldown_minutes: 60}}
"""
_TEAMS = 20


def write_pipelines(root: Path, count: int) -> None:
    """`<team>/<name>.yaml` below the root, over twenty teams."""
    for number in range(count):
        team = f"team{number % _TEAMS:02}"
        path = root / team / f"model{number:05}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEXT.format(name=path.stem, team=team))


def write_dag_factory(root: Path, pipelines: Path) -> None:
    """For every pipeline file one for dag-factory, with the same DAGs and tasks: each a process by BashOperator."""
    for file in sorted(pipelines.glob("*/*.yaml")):
        lines: list[str] = []
        for plan in build_plans(load_pipeline(file, root=pipelines)):
            lines += [
                f"{plan.dag_id}:",
                "  description: One of many",
                "  catchup: false",
                "  max_active_runs: 1",
                f"  tags: [{file.parent.name}, {plan.family}, bench]",
                "  default_args: {owner: somebody, start_date: 2025-01-01, retries: 2, retry_delay_sec: 30}",
                *([f'  schedule: "{plan.schedule}"'] if plan.schedule else []),
                "  tasks:",
            ]
            for task in plan.tasks:
                upstream = f", dependencies: [{', '.join(task.upstream)}]" if task.upstream else ""
                lines.append(
                    f"    - {{task_id: {task.stage}, "
                    f"operator: airflow.providers.standard.operators.bash.BashOperator, "
                    f"bash_command: python -m airloom.stages {task.stage}{upstream}}}"
                )
        path = root / file.relative_to(pipelines)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
