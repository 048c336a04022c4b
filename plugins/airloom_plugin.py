"""Registers Airloom where this folder is Airflow's plugins folder and the dist's entry point is not installed.

Registration only. With the entry point installed it offers nothing, since Airflow calls a second registration of the
same plugin an import error.
"""

from importlib.metadata import entry_points

if not entry_points(group="airflow.plugins", name="airloom"):
    from airloom_airflow.plugin import AirloomPlugin

    __all__ = ["AirloomPlugin"]
