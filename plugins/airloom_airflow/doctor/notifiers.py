"""Whether those who are to be notified can be: the classes that `notify` names, and the connections that they go by."""

from __future__ import annotations

from collections.abc import Iterator

from airflow.sdk import BaseHook, BaseNotifier

from airloom.diagnosis import Diagnosis, right, unchecked, wrong
from airloom.errors import ConfigError
from airloom.settings import Settings
from airloom_airflow.doctor.pipelines import find_valid
from airloom_airflow.notifications.loading import load_notifier


def check_notifiers(settings: Settings, *, started: bool) -> Iterator[Diagnosis]:
    """Whether the classes load here, take their arguments, and have their connections. None is called.

    Args:
        settings: the installation.
        started: False: Airflow is the embedded one, and has no database yet that connections could be in.
    """
    for path, pipeline in find_valid(settings):
        notify = pipeline.spec.notify
        for event in type(notify).model_fields:
            for given in getattr(notify, event) or ():
                where = f"{path}: spec.notify.{event}"
                try:
                    notifier = load_notifier(given.notifier, given.args)
                except ConfigError as error:
                    remedy = "Install what brings it where Airflow's tasks run, or mend spec.notify."
                    yield wrong("notifiers", where, str(error), remedy)
                else:
                    yield right("notifiers", where, f"{given.notifier} loads; it was not called")
                    yield from _check_connections(notifier, where, started=started)


def _check_connections(notifier: BaseNotifier, where: str, *, started: bool) -> Iterator[Diagnosis]:
    """Of its attributes that are called as hooks' arguments for connections are: `conn_id`, `smtp_conn_id`, …"""
    for name, conn_id in vars(notifier).items():
        if not name.endswith("conn_id") or not isinstance(conn_id, str) or "{{" in conn_id:
            continue
        try:
            BaseHook.get_connection(conn_id)
        except Exception as error:  # of many classes, by Airflow's version and by where it looks
            message = f"its {name} is {conn_id}, and Airflow gives no such connection: {error}"
            if started:
                remedy = f"Add it (`airflow connections add {conn_id} …`), or give another {name} in `args`."
                yield wrong("notifiers", where, message, remedy)
            else:
                words = f"its {name} is {conn_id}, and Airflow's database is not made yet"
                yield unchecked("notifiers", where, words, "Run `airloom up`, then this again.")
        else:
            yield right("notifiers", where, f"its connection {conn_id} is there")
