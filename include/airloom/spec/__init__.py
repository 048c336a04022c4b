"""The pipeline file: its models (`pipeline`, `orchestration`, `sources`, on `section`), how it is read and merged
(`document`, `loader`, `complaints`), which DAGs it makes (`plan`), what their runs may be started with (`parameters`),
its published JSON Schema (`schema`). Pure but for the loader, which reads files. It knows no Airflow,
no stage and no vendor.
"""

from airloom.spec.loader import find_pipeline_files, find_root, load_pipeline
from airloom.spec.pipeline import Pipeline
from airloom.spec.plan import DagPlan, TaskPlan, build_plans

__all__ = ["DagPlan", "Pipeline", "TaskPlan", "build_plans", "find_pipeline_files", "find_root", "load_pipeline"]
