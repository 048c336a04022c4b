"""The checks see what they are for."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.checks.docs_reference import BUILDERS, build_trigger_parameters
from tests.checks.docs_true import find_faults as find_doc_faults
from tests.checks.docs_true import find_undescribed_variables
from tests.checks.locks_true import find_faults as find_lock_faults
from tests.checks.locks_true import read_lock

HASH = "--hash=sha256:00"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small project in which everything is true."""
    (tmp_path / "include").mkdir()
    (tmp_path / "plugins").mkdir()
    (tmp_path / "tests/bench").mkdir(parents=True)
    (tmp_path / "docker/stage-cpu").mkdir(parents=True)
    (tmp_path / "Makefile").write_text("demo: setup\nsetup:\n")
    (tmp_path / "include/settings.py").write_text('"AIRLOOM_HOME"')
    (tmp_path / "include/pyproject.toml").write_text(
        '[project]\nname = "airloom"\ndependencies = ["rich>=14"]\n'
        'optional-dependencies = {duckdb = ["duckdb>=2"], embedded = ["airloom[duckdb]"],'
        " serving = [], feast = [], scikit-learn = [], s3 = []}\n"
    )
    (tmp_path / "plugins/pyproject.toml").write_text(
        '[project]\nname = "airloom-airflow"\ndependencies = ["airloom"]\n'
        "optional-dependencies = {celery = [], postgres = [], amazon = [], statsd = []}\n"
    )
    (tmp_path / "tests/requirements.in").write_text("pytest>=8  # tests\n")
    (tmp_path / "requirements.txt").write_text(f"rich==14.1 \\\n    {HASH}\n")
    (tmp_path / "docker/stage-cpu/requirements.in").write_text("")
    (tmp_path / "docker/stage-cpu/requirements.txt").write_text(f"rich==14.1 {HASH}\nduckdb==2.0 {HASH}\n")
    (tmp_path / "tests/bench/requirements.in").write_text("dag-factory==1.1.0\n")
    (tmp_path / "tests/bench/requirements.txt").write_text(f"dag-factory==1.1.0 {HASH}\nrich==14.1 {HASH}\n")
    for name in ("stage-gpu", "serve"):
        (tmp_path / f"docker/{name}").mkdir()
        (tmp_path / f"docker/{name}/requirements.in").write_text("")
        (tmp_path / f"docker/{name}/requirements.txt").write_text(f"rich==14.1 {HASH}\nduckdb==2.0 {HASH}\n")
    (tmp_path / "tests/images/stage-trivial").mkdir(parents=True)
    (tmp_path / "tests/images/stage-trivial/requirements.txt").write_text(f"rich==14.1 {HASH}\n")
    (tmp_path / "tests/executors").mkdir()
    (tmp_path / "tests/executors/requirements.txt").write_text(f"rich==14.1 {HASH}\n")
    (tmp_path / "tests/airflow_versions").mkdir()
    (tmp_path / "tests/airflow_versions/requirements.in").write_text("")
    for version in ("3.1", "3.2"):
        (tmp_path / f"tests/airflow_versions/airflow-{version}.in").write_text(f"apache-airflow=={version}.0\n")
        text = f"apache-airflow=={version}.0 {HASH}\nrich==14.1 {HASH}\n"
        (tmp_path / f"tests/airflow_versions/airflow-{version}.txt").write_text(text)
    for name in ("airflow", "stages"):
        (tmp_path / f"tests/requirements-{name}.txt").write_text(f"pytest==8.1 {HASH}\n")
    return tmp_path


def test_true_documents_have_no_faults(tree: Path) -> None:
    text = (
        "Run `make demo`, see `include/settings.py` and [it](include/settings.py#top); `AIRLOOM_HOME`, `build/x`.\n"
        "```console\nmake demo STAY=0\n.venv/stages/bin/airloom validate   # all\n```\n"
        '<!-- include: include/settings.py -->\n```python\n"AIRLOOM_HOME"```\n'
    )
    assert list(find_doc_faults(text, tree, tree)) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("`make cake`", "there is no `make cake`; there are: demo, setup"),
        ("```\nmake cake\n```", "there is no `make cake`"),
        ("`airloom bake x`", "there is no `airloom bake`"),
        ("`include/gone.py`", "names include/gone.py"),
        ("[x](gone.md)", "links to gone.md"),
        ("AIRLOOM_HOUSE", "names AIRLOOM_HOUSE, which nothing reads"),
        ("<!-- include: include/settings.py -->\n", "is not current"),
        ("<!-- include: include/settings.py -->\n```\nold\n```\n", "is not current"),
        ("<!-- include: include/gone.py -->\n", "includes include/gone.py"),
        ("`airloom render x --jason`", "`airloom render` takes no --jason; it takes: --"),
        ("```console\nAIRLOOM_HOME=/x .venv/stages/bin/airloom bake\n```", "there is no `airloom bake`"),
        ("`python -m airloom.gone`", "starts airloom.gone, which is not there"),
        ("# A heading\n[x](#another-heading)", "links to #another-heading, where there is no such heading"),
        ("[x](page.md#gone)", "links to page.md#gone, where there is no such heading"),
        ("<!-- generated: cake -->\n<!-- /generated -->\n", "nothing to generate called cake"),
        ("<!-- generated: pipeline-file -->\nold\n<!-- /generated -->\n", "the table pipeline-file is not current"),
    ],
)
def test_what_a_document_says_untruly_is_told(tree: Path, text: str, words: str) -> None:
    (tree / "page.md").write_text("# What is here\n")
    (fault,) = find_doc_faults(text, tree, tree)
    assert words in fault


def test_flags_anchors_and_generated_tables_that_are_true_are_no_faults(tree: Path) -> None:
    (tree / "page.md").write_text("# What is, here\n")
    table = f"<!-- generated: trigger-parameters -->\n\n{build_trigger_parameters()}\n<!-- /generated -->\n"
    text = f"`airloom render x --json  # --jason`, [x](page.md#what-is-here), `python -m airloom.stages.host`\n{table}"
    (tree / "include/airloom/stages").mkdir(parents=True)
    (tree / "include/airloom/stages/host.py").touch()
    assert list(find_doc_faults(text, tree, tree)) == []


def test_a_variable_that_the_code_reads_and_no_page_describes_is_told(tree: Path) -> None:
    (tree / "docs").mkdir()
    (tree / "docs/environment.md").write_text("`AIRLOOM_HOME`")
    assert list(find_undescribed_variables(tree)) == []
    (tree / "plugins/x.py").write_text('environ["AIRLOOM_NEW"]')
    assert list(find_undescribed_variables(tree)) == ["says nothing of AIRLOOM_NEW, which the code reads; describe it"]


@pytest.mark.parametrize("name", BUILDERS)
def test_generated_tables_have_words_for_every_key(name: str) -> None:
    rows = [line for line in BUILDERS[name]().splitlines() if line.startswith("| `")]
    assert rows
    plain = ("| `apiVersion`", "| `kind`", "| `type`")
    assert [row for row in rows if row.endswith("|  |") and not row.startswith(plain)] == []


def test_whole_locks_have_no_faults(tree: Path) -> None:
    assert list(find_lock_faults(tree)) == []


@pytest.mark.parametrize(
    ("lock", "words"),
    [
        ("", "docker/stage-cpu/requirements.txt: rich>=14 of include/pyproject.toml[embedded] is not in it"),
        (
            f"rich==13.0 {HASH}\nduckdb==2.0 {HASH}\n",
            "rich==13.0 is not what include/pyproject.toml[embedded] asks for",
        ),
        (f"rich==14.1 {HASH}\n", "duckdb>=2 of include/pyproject.toml[embedded] is not in it"),
        (f"rich==14.1\nduckdb==2.0 {HASH}\n", "rich==14.1 has no hash"),
        (f"rich>=14 {HASH}\nrich==14.1 {HASH}\nduckdb==2.0 {HASH}\n", "pins no version"),
    ],
)
def test_what_a_lock_lacks_is_told(tree: Path, lock: str, words: str) -> None:
    (tree / "docker/stage-cpu/requirements.txt").write_text(lock)
    assert any(words in fault for fault in find_lock_faults(tree))


def test_a_lock_is_read_with_its_hashes() -> None:
    assert read_lock(f"# c\nTyping_Extensions==4.1 \\\n    {HASH} \\\n    {HASH}\n    # via x\n") == (
        {"typing-extensions": "4.1"},
        [],
    )
