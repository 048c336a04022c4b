"""`airloom init`, `validate`, `render` and `schema`: what they print, and their exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from airloom.cli import main
from airloom.cli.schema import build_schema_files
from airloom.spec.schema import build_cluster_schema, build_schema

EXAMPLES = Path(__file__).parents[4] / "dags" / "pipelines"


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder of our own, and none of this machine's settings."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "AIRLOOM_PIPELINES",
        "AIRLOOM_ENVIRONMENT",
        "AIRLOOM_HOME",
        "AIRLOOM_DATA_ROOT",
        "AIRLOOM_CLUSTER_FILE",
    ):
        monkeypatch.delenv(name, raising=False)


def test_init_writes_a_valid_pipeline_and_never_over_another(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0
    path = Path("dags/pipelines/example/flowers.yaml")
    text = path.read_text()
    assert main(["validate"]) == 0
    assert "OK, example.flowers" in capsys.readouterr().out
    assert main(["init"]) == 1
    assert "stays as it is" in capsys.readouterr().err
    assert path.read_text() == text


def test_the_comments_of_init_are_valid_once_uncommented(tmp_path: Path) -> None:
    main(["init", "team/mine.yaml"])
    path = tmp_path / "team" / "mine.yaml"
    lines = [
        line.replace("# ", "", 1) if line.lstrip().startswith("# ") and "query:" not in line else line
        for line in path.read_text().splitlines()[2:]
        if "The team is" not in line and "key:" not in line and "timestamp:" not in line
    ]
    path.write_text("\n".join(lines))
    assert main(["validate", str(path), "--environment", "staging"]) == 0
    assert yaml.safe_load(path.read_text())["spec"]["gates"]["champion"]["metric"] == "accuracy_score"


def test_init_refuses_names_that_no_pipeline_may_have(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "Team/My File.yaml"]) == 1
    assert "give lower-case words" in capsys.readouterr().err
    assert not Path("Team").exists()


def test_validate_tells_every_fault_of_every_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "ops/good.yaml"])
    text = Path("ops/good.yaml").read_text()
    Path("ops/typo.yaml").write_text(text.replace("estimator:", "estimater:").replace("name: good", "name: typo"))
    Path("ops/broken.yaml").write_text("a: [")
    Path("ops/twin.yaml").write_text(text)
    capsys.readouterr()
    assert main(["validate", "ops"]) == 1
    out, err = capsys.readouterr()
    assert out == "ops/good.yaml: OK, ops.good\n"
    assert [line.partition(":")[0] for line in err.splitlines()] == [
        "ops/broken.yaml",
        "ops/typo.yaml",
        "ops/twin.yaml",
    ]
    assert "ops/twin.yaml:6:9: metadata.name: given 'good', which is the pipeline of ops/good.yaml, and" in err
    assert "did you mean 'estimator'?" in err


def test_validate_blames_the_file_that_does_not_bear_the_name(capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "dags/pipelines/ops/loans.yaml"])
    text = Path("dags/pipelines/ops/loans.yaml").read_text()
    Path("dags/pipelines/ops/copy_of.yaml").write_text(text)
    capsys.readouterr()
    assert main(["validate"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(f"{Path.cwd()}/dags/pipelines/ops/loans.yaml: OK")
    assert f"{Path.cwd()}/dags/pipelines/ops/copy_of.yaml:6:9: metadata.name" in err
    assert "Airflow" not in err
    Path("dags/pipelines/ops/loans.yaml").rename("dags/pipelines/ops/renamed.yaml")
    assert main(["validate"]) == 1
    out, err = capsys.readouterr()
    assert "ops/copy_of.yaml: OK" in out
    assert "If Airflow has this file's DAGs, it is the other one" in err


CLUSTER = """\
apiVersion: airloom.io/v1
kind: Cluster
spec:
  images: {cpu: x}
  profiles: {gpu-large: {}}
  teams: {ops: {profiles: [cpu-small]}}
"""


def test_validate_checks_the_cluster_file_and_what_pipelines_name_of_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["init", "ops/mine.yaml"])
    Path("cluster.yaml").write_text(CLUSTER)
    capsys.readouterr()
    assert main(["validate", "cluster.yaml", "ops/mine.yaml"]) == 0
    assert capsys.readouterr().out == "cluster.yaml: OK, the cluster file\nops/mine.yaml: OK, ops.mine\n"
    text = Path("ops/mine.yaml").read_text()
    Path("ops/mine.yaml").write_text(text.replace("spec:\n", "spec:\n  compute: gpu-large\n", 1))
    monkeypatch.setenv("AIRLOOM_CLUSTER_FILE", str(Path("cluster.yaml").absolute()))
    assert main(["validate", "ops"]) == 1
    out, err = capsys.readouterr()
    assert "ops/mine.yaml: compute 'gpu-large' is not for team 'ops', which may use cpu-small" in err
    assert "ops/mine.yaml: OK" not in out
    Path("cluster.yaml").write_text(CLUSTER.replace("cpu: x", "gpu: x"))
    assert main(["validate", "ops"]) == 1
    assert "cluster.yaml:4:3: spec.images.cpu: 'cpu' is missing" in capsys.readouterr().err


def test_validate_of_nothing_is_not_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["validate", "empty"]) == 1
    assert main(["validate", "absent.yaml"]) == 1
    assert "absent.yaml: cannot be read" in capsys.readouterr().err


def test_validate_finds_the_defaults_by_the_folder_called_pipelines(capsys: pytest.CaptureFixture[str]) -> None:
    main(["init"])
    Path("dags/pipelines/defaults.yaml").write_text("spec: {retrys: 3}")
    assert main(["validate", "dags/pipelines/example/flowers.yaml"]) == 1
    assert "defaults.yaml:1:8: spec.retrys: unknown key 'retrys'; did you mean 'retries'?" in capsys.readouterr().err


def test_render_shows_the_resolved_spec_and_the_dags(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", str(EXAMPLES / "ops/flight_delay.yaml"), "--environment", "demo"]) == 0
    out = capsys.readouterr().out
    assert yaml.safe_load(out)["spec"]["monitor"]["cooldown_minutes"] == 0
    assert "# DAG ops__flight_delay__train: started by cron @weekly or by asset airloom://ops/flight_delay/drift" in out
    assert "#   register after gate updates airloom://ops/flight_delay/model" in out


def test_render_as_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", str(EXAMPLES / "examples/iris.yaml"), "--json"]) == 0
    rendered = json.loads(capsys.readouterr().out)
    assert [dag["dag_id"] for dag in rendered["dags"]] == ["examples__iris__train"]
    assert [task["task_id"] for task in rendered["dags"][0]["tasks"]] == ["ingest", "train", "evaluate", "register"]
    assert rendered["pipeline"]["spec"]["train"]["holdout"] == 0.2


def test_render_of_a_faulty_file_tells_why(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.yaml").write_text("spec: !x 1")
    assert main(["render", "bad.yaml"]) == 1
    assert "airloom render: bad.yaml:1:7: spec: the tag !x is not allowed" in capsys.readouterr().err


def test_schema_is_printed_or_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == build_schema()
    assert main(["schema", "--kind", "Cluster"]) == 0
    assert json.loads(capsys.readouterr().out) == build_cluster_schema()
    assert main(["schema", "--write", "s.json"]) == 0
    assert json.loads(Path("s.json").read_text()) == build_schema()


def test_the_committed_schemas_are_current() -> None:
    assert [path.name for path, text in build_schema_files().items() if path.read_text() != text] == []
