"""Who hears of what becomes of a pipeline: its `notify` section as Airflow's callbacks.

The DAG factory calls `build_callbacks` and `build_deadlines`. A notifier is named by its path and loaded only when it
is called, never while a DAG is parsed. It sends nothing itself: the notifiers are Airflow's or the installation's own.
"""

from airloom_airflow.notifications.late import build_deadlines
from airloom_airflow.notifications.task import build_callbacks

__all__ = ["build_callbacks", "build_deadlines"]
