"""The text of the small DAG file that stands for one pipeline file. Pure; `pipelines` writes it.

It carries the pipeline file's text as comments, so that it changes exactly when the pipeline does, which is what the
DAG processor watches, and so that Airflow's Code tab shows the pipeline. It holds no logic of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_HEADER = """\
# An Airflow DAG file that Airloom made from a pipeline file; changes here are lost. Change the pipeline file instead:
# {shown}
#
{text}
#
# defaults: {defaults}
from airloom_airflow.bundles.pipeline_file import build_dags

globals().update(
    build_dags(
        {path!r},
        root={root!r},
        environment={environment!r},
        twins={twins!r},
    )
)
"""


JANITOR = """\
# An Airflow DAG file that Airloom made: stages run as pods here, and this takes away those that nobody waits for.
from airloom_airflow.dag_factory.janitor import build_janitor_dag

dag = build_janitor_dag()
"""


@dataclass(frozen=True)
class Stub:
    """What a stub is made of.

    Attributes:
        path: the pipeline file, absolute.
        root: the folder of pipeline files, absolute.
        text: the pipeline file's bytes.
        defaults: digest of the defaults files behind it.
        environment: the overlay that applies.
        twins: other files that claim the same team and name.
    """

    path: Path
    root: Path
    text: bytes
    defaults: str
    environment: str | None
    twins: tuple[str, ...] = ()


def build_stub(stub: Stub) -> str:
    """The DAG file's text: valid Python whatever bytes the pipeline file holds."""
    lines = stub.text.decode("utf-8", "backslashreplace").splitlines()
    return _HEADER.format(
        shown=_one_line(str(stub.path)),
        path=str(stub.path),
        root=str(stub.root),
        environment=stub.environment,
        text="\n".join(f"# {_one_line(line)}".rstrip() for line in lines),
        defaults=stub.defaults,
        twins=stub.twins,
    )


def _one_line(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode()
