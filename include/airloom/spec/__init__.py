"""The files that people write, in the Kubernetes manner. `kind: Pipeline`: its models (`pipeline`, `orchestration`,
`sources`, on `section`), how it is called, read and merged (`file_names`, `document`, `loader`, `complaints`), which
DAGs it makes (`plan`), what their runs may be started with (`parameters`). `kind: Cluster`: where an installation's
stages run as pods (`cluster`, `pod_template`). Their published JSON Schemas (`schema`). Pure, but for `load_pipeline`
and `load_cluster`, which read files. It knows no Airflow, no stage, no vendor, and talks to no cluster.
"""

from airloom.spec.loader import find_pipeline_files, find_root, load_pipeline
from airloom.spec.pipeline import Pipeline
from airloom.spec.plan import DagPlan, TaskPlan, build_plans

__all__ = ["DagPlan", "Pipeline", "TaskPlan", "build_plans", "find_pipeline_files", "find_root", "load_pipeline"]
