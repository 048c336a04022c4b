"""Sensors: `drift` decides whether a monitor's verdict asks for retraining. All deferrable; their waiting is in
`airloom_airflow.triggers`. DAG files written by hand import `DriftSensor` from here, loaded where it is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airloom_airflow.sensors.drift import DriftSensor

__all__ = ["DriftSensor"]


def __getattr__(name: str) -> Any:
    if name != "DriftSensor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from airloom_airflow.sensors.drift import DriftSensor

    return DriftSensor
