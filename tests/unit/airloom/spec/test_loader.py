"""From files to a pipeline: findings with places, defaults, environments, teams."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airloom.errors import Finding, PermanentError, SpecError
from airloom.protocol import StageContext
from airloom.spec import Pipeline, find_pipeline_files, find_root, load_pipeline

REPOSITORY = Path(__file__).parents[4]
MINIMAL = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {name: iris}
spec:
  data:
    sources:
      flowers: {type: csv, path: flowers.csv}
  train:
    target: species
    estimator: sklearn.linear_model.LogisticRegression
"""

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file below the folder of pipeline files."""

    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write_file


def findings_of(path: Path, **arguments: Any) -> list[Finding]:
    with pytest.raises(SpecError) as caught:
        load_pipeline(path, **arguments)
    assert str(caught.value) == "\n".join(map(str, caught.value.findings))
    return list(caught.value.findings)


def test_the_bundled_pipelines_are_read_and_go_through_json() -> None:
    root = REPOSITORY / "dags" / "pipelines"
    paths = list(find_pipeline_files(root))
    assert {path.stem for path in paths} >= {"iris", "flight_delay"}
    for path in paths:
        pipeline = load_pipeline(path, root)
        spec = pipeline.model_dump(mode="json")
        context = StageContext(
            team="t", pipeline="p", stage="train", run_id="r", attempt=1, spec=spec, pipeline_uri="file:///a/t/p"
        )
        assert Pipeline.model_validate(StageContext.from_json(context.to_json()).spec) == pipeline


def test_the_minimal_file_is_under_fifteen_lines() -> None:
    assert len((REPOSITORY / "dags/pipelines/examples/iris.yaml").read_text().splitlines()) < 15


def test_the_team_is_the_folder(tmp_path: Path, write: Write) -> None:
    path = write("examples/iris.yaml", MINIMAL)
    assert load_pipeline(path, tmp_path).full_name == "examples.iris"
    assert load_pipeline(path).full_name == "examples.iris"


def test_a_team_that_is_not_the_folder_is_refused(tmp_path: Path, write: Write) -> None:
    path = write("examples/iris.yaml", MINIMAL.replace("name: iris", "name: iris, team: ops"))
    (finding,) = findings_of(path, root=tmp_path)
    assert (finding.line, finding.path) == (3, "metadata.team")
    assert "given 'ops', but the file lies in 'examples'" in finding.message
    assert load_pipeline(path).metadata.team == "ops"


def test_a_file_outside_the_root_is_refused(tmp_path: Path, write: Write) -> None:
    path = write("elsewhere/iris.yaml", MINIMAL)
    (finding,) = findings_of(path, root=tmp_path / "pipelines")
    assert "not below the folder of pipeline files" in finding.message


def test_all_findings_are_told_at_once_with_exact_places(write: Write) -> None:
    path = write(
        "ops/bad.yaml",
        """\
apiVersion: airloom.io/v2
kind: Pipeline
metadata:
  name: ../escape
  ownr: me
spec:
  data:
    sources:
      a: {type: csvv, path: x}
      b: {path: x}
      c: {type: sql, query: q, database: {secrt: x}}
      d: {type: sql, query: q, database: 5}
      e: {type: csv, path: x, skip_rows: -1}
    window_days: abc
    key: id
  train:
    estimater: sklearn.svm.SVC
    holdout: 2
    params: 5
  gates: {thresholds: {roc_auc_score: {}}}
  cache: maybe
  retries: 1.5
  monitor:
""",
    )
    told = [(finding.line, finding.column, finding.path, finding.message) for finding in findings_of(path)]
    expected = [
        (1, 13, "apiVersion", "given 'airloom.io/v2'; did you mean 'airloom.io/v1'? allowed: 'airloom.io/v1'"),
        (4, 9, "metadata.name", "given '../escape'; give lower-case words"),
        (5, 3, "metadata.ownr", "unknown key 'ownr'; did you mean 'owner'? allowed: description, name, owner, tags"),
        (9, 17, "spec.data.sources.a.type", "given 'csvv'; did you mean 'csv'? allowed: 'csv', 'parquet', 'sql'"),
        (10, 7, "spec.data.sources.b", "'type' is missing; allowed: 'csv', 'parquet', 'sql'"),
        (11, 32, "spec.data.sources.c.database.secret", "'secret' is missing (The secret's name); add it"),
        (11, 43, "spec.data.sources.c.database.secrt", "unknown key 'secrt'; did you mean 'secret'? allowed: secret"),
        (12, 42, "spec.data.sources.d.database", "given 5; give text"),
        (13, 42, "spec.data.sources.e.skip_rows", "given -1; give a value greater than or equal to 0"),
        (14, 18, "spec.data.window_days", "given 'abc'; give a number"),
        (15, 10, "spec.data.key", "given 'id'; give a list"),
        (16, 3, "spec.train.target", "'target' is missing (Column to predict); add it"),
        (17, 5, "spec.train.estimater", "unknown key 'estimater'; did you mean 'estimator'? allowed: compute, ent"),
        (18, 14, "spec.train.holdout", "given 2; give a value less than 1"),
        (19, 13, "spec.train.params", "given 5; give a mapping"),
        (20, 24, "spec.gates.thresholds.roc_auc_score", "give min, max or both"),
        (21, 10, "spec.cache", "given 'maybe'; give true or false"),
        (22, 12, "spec.retries", "given 1.5; give a whole number"),
    ]
    assert [entry[:3] for entry in told] == [entry[:3] for entry in expected]
    assert [(a, b) for (*_, a), (*_, b) in zip(told, expected, strict=True) if not a.startswith(b)] == []


def test_a_faulty_file_is_a_permanent_error_that_names_file_line_and_column(write: Write) -> None:
    path = write("ops/bad.yaml", MINIMAL.replace("estimator:", "estimater:"))
    with pytest.raises(PermanentError, match=rf"^{path}:10:5: spec.train.estimater: unknown key"):
        load_pipeline(path)


def test_what_a_section_asks_of_itself_is_told_at_the_section(write: Write) -> None:
    path = write("ops/bad.yaml", MINIMAL + "    entrypoint: flights:fit\n")
    (finding,) = findings_of(path)
    assert (finding.line, finding.column, finding.path) == (8, 3, "spec.train")
    assert finding.message == "give exactly one of estimator and entrypoint"


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "the file is empty"), ("- a\n", "given a list of 1"), ("hello\n", "given 'hello'"), ("{}\n", "'spec' is")],
)
def test_a_file_that_is_no_pipeline_is_refused(write: Write, text: str, words: str) -> None:
    assert any(words in finding.message for finding in findings_of(write("ops/bad.yaml", text)))


def test_long_and_odd_values_are_shortened(write: Write) -> None:
    path = write("ops/bad.yaml", MINIMAL.replace("iris", '"' + "A" * 5000 + '"') + f'    "x\\n{"b" * 5000}": 1\n')
    assert all(len(str(finding)) < 1000 and "\n" not in str(finding) for finding in findings_of(path))


def test_the_file_overrides_the_team_which_overrides_the_root(tmp_path: Path, write: Write) -> None:
    write(
        "defaults.yaml", "metadata: {owner: root, tags: [root]}\nspec: {retries: 1, retry_delay_seconds: 1, cache: no}"
    )
    write("ops/defaults.yaml", "metadata: {owner: team}\nspec: {retries: 2, train: {params: {a: 1, b: {c: 1, d: 1}}}}")
    path = write("ops/iris.yaml", MINIMAL + "    params: {b: {c: 3}}\n  retries: 3\n")
    pipeline = load_pipeline(path, tmp_path)
    assert (pipeline.metadata.owner, pipeline.metadata.tags) == ("team", ("root",))
    assert (pipeline.spec.retries, pipeline.spec.retry_delay_seconds, pipeline.spec.cache) == (3, 1, False)
    assert pipeline.spec.train.params == {"a": 1, "b": {"c": 3, "d": 1}}
    assert load_pipeline(path).spec.cache is True


def test_lists_are_replaced_and_null_takes_away(tmp_path: Path, write: Write) -> None:
    write("defaults.yaml", "metadata: {tags: [a, b]}\nspec: {schedule: '@daily', evaluate: {metrics: [f1_score]}}")
    text = MINIMAL.replace("name: iris", "name: iris, tags: [c]")
    path = write("ops/iris.yaml", text + "  schedule: null\n  evaluate:\n")
    pipeline = load_pipeline(path, tmp_path)
    assert pipeline.metadata.tags == ("c",)
    assert (pipeline.spec.schedule, pipeline.spec.evaluate) == (None, None)


def test_a_null_that_takes_nothing_away_is_a_value(write: Write) -> None:
    path = write("ops/iris.yaml", MINIMAL + "    params: {max_features: null}\n")
    assert load_pipeline(path).spec.train.params == {"max_features": None}


def test_a_source_of_another_type_is_replaced_whole(tmp_path: Path, write: Write) -> None:
    path = write(
        "ops/iris.yaml",
        MINIMAL + "environments:\n  prod:\n    data: {sources: {flowers: {type: sql, query: FROM flowers}}}\n",
    )
    assert load_pipeline(path, tmp_path, "prod").spec.data.sources["flowers"].type == "sql"
    assert load_pipeline(path, tmp_path).spec.data.sources["flowers"].type == "csv"


def test_environments_lie_over_the_file_in_the_order_of_their_files(tmp_path: Path, write: Write) -> None:
    write("defaults.yaml", "environments: {prod: {retries: 7, cache: false}, ci: {retries: 0}}")
    write("ops/defaults.yaml", "environments: {prod: {retries: 8}}")
    path = write("ops/iris.yaml", MINIMAL + "  retries: 1\nenvironments: {prod: {train: {seed: 5}}}\n")
    prod = load_pipeline(path, tmp_path, "prod").spec
    assert (prod.retries, prod.cache, prod.train.seed, prod.train.target) == (8, False, 5, "species")
    assert load_pipeline(path, tmp_path, "ci").spec.retries == 0
    assert load_pipeline(path, tmp_path).spec.retries == 1


def test_an_environment_of_the_installation_need_not_be_in_every_file(tmp_path: Path, write: Write) -> None:
    path = write("ops/iris.yaml", MINIMAL)
    assert load_pipeline(path, tmp_path, "prod") == load_pipeline(path, tmp_path)


@pytest.mark.parametrize("environment", [None, "prod", "ci"])
def test_a_typo_in_an_environment_is_told_though_another_is_chosen(write: Write, environment: str | None) -> None:
    path = write("ops/iris.yaml", MINIMAL + "environments:\n  prod:\n    train: {estimater: x}\n  ci: {}\n")
    (finding,) = findings_of(path, environment=environment)
    assert (finding.line, finding.column, finding.path) == (13, 13, "environments.prod.train.estimater")


def test_a_file_that_an_environment_completes_is_valid_in_it(write: Write) -> None:
    text = MINIMAL.replace("    target: species\n", "")
    path = write("ops/iris.yaml", text + "environments: {prod: {train: {target: species}}}\n")
    assert load_pipeline(path, environment="prod").spec.train.target == "species"
    assert [finding.path for finding in findings_of(path)] == ["spec.train.target"]


def test_a_fault_in_defaults_is_told_in_the_defaults_file(tmp_path: Path, write: Write) -> None:
    defaults = write("ops/defaults.yaml", "spec:\n  cash: true\n  retries: x\n")
    path = write("ops/iris.yaml", MINIMAL)
    told = findings_of(path, root=tmp_path)
    assert [(finding.file, finding.line, finding.path) for finding in told] == [
        (str(defaults), 2, "spec.cash"),
        (str(defaults), 3, "spec.retries"),
    ]


def test_defaults_hold_metadata_spec_and_environments_only(tmp_path: Path, write: Write) -> None:
    write("defaults.yaml", "kind: Pipeline\nspec: 3\nenvironments: [a]\n")
    path = write("ops/iris.yaml", MINIMAL)
    assert {finding.path for finding in findings_of(path, root=tmp_path)} == {"kind", "spec", "environments"}


def test_faults_of_form_in_several_files_are_told_at_once(tmp_path: Path, write: Write) -> None:
    write("defaults.yaml", "spec: [")
    write("ops/defaults.yaml", "spec: {a: 1, a: 2}")
    path = write("ops/iris.yaml", "a: !x 1")
    assert len({finding.file for finding in findings_of(path, root=tmp_path)}) == 3


def test_an_empty_defaults_file_changes_nothing(tmp_path: Path, write: Write) -> None:
    path = write("ops/iris.yaml", MINIMAL)
    before = load_pipeline(path, tmp_path)
    write("defaults.yaml", "# nothing yet\n")
    assert load_pipeline(path, tmp_path) == before


def test_defaults_that_change_are_read_again(tmp_path: Path, write: Write) -> None:
    path = write("ops/iris.yaml", MINIMAL)
    for retries in (1, 22):
        write("defaults.yaml", f"spec: {{retries: {retries}}}")
        assert load_pipeline(path, tmp_path).spec.retries == retries


def test_infinite_numbers_are_refused(write: Write) -> None:
    path = write("ops/iris.yaml", MINIMAL + "  retry_delay_seconds: .inf\n")
    assert [finding.path for finding in findings_of(path)] == ["spec.retry_delay_seconds"]


def test_pipeline_files_are_found_without_defaults_and_hidden_ones(tmp_path: Path, write: Write) -> None:
    for name in ("a/b.yaml", "a/c.yml", "defaults.yaml", "a/defaults.yml", ".git/d.yaml", "a/.e.yaml", "a/f.txt"):
        write(name, "")
    assert [str(path.relative_to(tmp_path)) for path in find_pipeline_files(tmp_path)] == ["a/b.yaml", "a/c.yml"]


def test_the_root_is_the_folder_called_pipelines_above() -> None:
    assert find_root(Path("/x/pipelines/ops/a.yaml")) == Path("/x/pipelines")
    assert find_root(Path("/x/y/a.yaml")) is None


def test_a_pipeline_is_read_in_a_fraction_of_a_parses_budget() -> None:
    path = REPOSITORY / "dags/pipelines/ops/flight_delay.yaml"
    spent = []
    for _ in range(5):
        started = time.perf_counter()
        load_pipeline(path, path.parents[1], "demo")
        spent.append(time.perf_counter() - started)
    assert min(spent) < 0.025


@pytest.mark.parametrize("place", ["", "examples/"])
def test_defaults_under_another_name_are_refused_rather_than_ignored(tmp_path: Path, write: Write, place: str) -> None:
    path = write("examples/iris.yaml", MINIMAL)
    misnamed = write(f"{place}defaults.yml", "spec: {retries: 4}\n")
    (finding,) = findings_of(path, root=tmp_path)
    assert (finding.file, finding.line) == (str(misnamed), 0)
    assert finding.message == "is not read: defaults lie in defaults.yaml; rename it, or remove it"
    misnamed.rename(misnamed.with_suffix(".yaml"))
    assert load_pipeline(path, tmp_path).spec.retries == 4


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ops/" + "x" * 236 + ".yaml", "its name has 241 bytes, and 240 are allowed"),
        (os.fsdecode(b"ops/caf\xe9.yaml"), "its name is not UTF-8"),
        ("ops.yaml/iris.yaml", "its folder 'ops.yaml' is no team's name"),
    ],
)
def test_a_name_that_the_dag_bundles_would_refuse_is_a_finding_too(
    tmp_path: Path, write: Write, name: str, words: str
) -> None:
    (finding,) = findings_of(write(name, MINIMAL), root=tmp_path)
    assert finding.message.startswith(words)
    assert str(finding).isprintable()


NOTIFY = "  notify: {{{event}: [{{notifier: some.Notifier}}]}}\n"


@pytest.mark.parametrize("event", ["refusal", "breach", "promotion", "late"])
def test_notifiers_of_what_never_happens_are_told_with_their_line(tmp_path: Path, write: Write, event: str) -> None:
    path = write("examples/iris.yaml", MINIMAL + NOTIFY.format(event=event))
    [finding] = findings_of(path, root=tmp_path)
    assert (finding.line, finding.path) == (len(MINIMAL.splitlines()) + 1, f"spec.notify.{event}")
    assert "never happens here; " in finding.message


@pytest.mark.parametrize("event", ["refusal", "breach", "promotion", "late"])
def test_notifiers_of_a_teams_defaults_need_not_be_for_every_pipeline(tmp_path: Path, write: Write, event: str) -> None:
    write("examples/defaults.yaml", "spec:\n" + NOTIFY.format(event=event))
    path = write("examples/iris.yaml", MINIMAL)
    assert getattr(load_pipeline(path, tmp_path).spec.notify, event)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("  schedule: {cron: '@daily', when: all}\n", "spec.schedule.when"),
        ("  airflow: {dags: {train: {deadline_seconds: 600}}}\n", "spec.airflow.dags.train.deadline_seconds"),
        ("  gates: {thresholds: {accuracy_score: {min: 0.5}}}\n", "spec.gates"),
        ("  schedule: {assets: ['s3://lake/flowers', 'airloom://examples/iris/model']}\n", "spec.schedule.assets"),
        (
            "  features: {views: {rows: {entity: id, columns: [a]}}, schedule: {assets: ['airloom://examples/iris/dataset']}}\n",
            "spec.features.schedule.assets",
        ),
    ],
)
def test_what_does_not_fit_the_rest_is_told_at_its_own_line(tmp_path: Path, write: Write, text: str, path: str) -> None:
    [finding] = findings_of(write("examples/iris.yaml", MINIMAL + "\n" * 20 + text), root=tmp_path)
    assert (finding.line, finding.path) == (len(MINIMAL.splitlines()) + 21, path)
