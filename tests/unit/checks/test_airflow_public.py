"""What is not of Airflow's public interface is found, with its line; what is public is let be."""

from __future__ import annotations

import pytest
from tests.checks import airflow_public
from tests.checks.airflow_public import find_faults


@pytest.mark.parametrize(
    "code",
    [
        "from airflow.sdk import DAG",
        "from airflow import plugins_manager",
        "from airflow.triggers.base import BaseTrigger",
        "from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator",
        "from airflow.sdk import DAG\nprint(DAG.__name__, DAG.dag_id)",
        "from airloom_airflow.speedups.web_login import get_user",
        "from .airflow import thing",
        "import airflowish._private",
        "import importlib\nimportlib.import_module('airflow.sdk')",
        "class Mine:\n    def f(self):\n        self._mine = 1",
    ],
)
def test_what_is_public_has_no_faults(code: str) -> None:
    assert list(find_faults(code)) == []


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("from airflow.models.dag import DagModel", "1: airflow.models.dag is not of"),
        ("import airflow.settings", "1: airflow.settings is not of"),
        ("from airflow import settings", "1: airflow.settings is not of"),
        ("def f():\n    from airflow.jobs import triggerer_job_runner", "2: airflow.jobs is not of"),
        ("from airflow.sdk.execution_time.task_runner import T", "airflow.sdk.execution_time.task_runner is not of"),
        ("from airflow.sdk.definitions._internal.x import y", "airflow.sdk.definitions._internal.x is not of"),
        ("from airflow.triggers._inner import y", "airflow.triggers._inner is not of"),
        ("from airflow.sdk import _inner", "airflow.sdk._inner is private"),
        ("import importlib\nimportlib.import_module('airflow.jobs')", "2: airflow.jobs is not of"),
        ("from airflow.sdk import DAG\nDAG._inner()", "2: DAG._inner is private"),
        ("from airflow.triggers import base as b\nb.BaseTrigger.run = 1", "2: b.BaseTrigger.run is set"),
        ("from airflow.sdk import DAG\nsetattr(DAG, 'x', 1)", "2: setattr(DAG, 'x', 1) is a patch"),
        ("from airflow.sdk import DAG\ndel DAG.x", "2: DAG.x is set"),
    ],
)
def test_what_is_not_is_found(code: str, fault: str) -> None:
    found = list(find_faults(code))
    assert len(found) == 1
    assert fault in found[0]


def test_the_packages_kept_out_do_lean_on_airflows_insides() -> None:
    patches = airflow_public.SIDE / airflow_public.EXEMPT
    leaning = {path.stem for path in patches.glob("*.py") if list(find_faults(path.read_text()))}
    plain = {"__init__", "stats", "switch"}
    assert leaning == {path.stem for path in patches.glob("*.py")} - plain


def test_the_check_fails_where_something_is_not_public(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plugins/airloom_airflow/speedups").mkdir(parents=True)
    for name in ("speedups/patch", "leak"):
        (tmp_path / f"plugins/airloom_airflow/{name}.py").write_text("import airflow.jobs\n")
    monkeypatch.setattr(airflow_public, "ROOT", tmp_path)
    monkeypatch.setattr(airflow_public, "SIDE", tmp_path / "plugins")
    assert airflow_public.main() == 1
    assert "plugins/airloom_airflow/leak.py:1: airflow.jobs" in (told := capsys.readouterr().out)
    assert "patch.py" not in told
