"""The text of the small DAG file that stands for one pipeline file. Pure; `dag_files` writes it.

It carries the pipeline file's text as comments, so that it changes exactly when the pipeline does, which is what the
DAG processor watches, and so that Airflow's Code tab shows the pipeline. It holds no logic of its own, and no path of
the machine that it was made on: its text is the same on every machine.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass

from airloom.spec.file_names import refuse_name

MARK = "# An Airflow DAG file (form 3) that Airloom made from a pipeline file; changes here are lost."
"""The first line. Its number goes up where files of an earlier form, left on a disk, would no longer do."""

_REFUSED_FOLDER = "_refused"
"""Of the DAG files that stand for pipeline files whose names are refused: no team is called so."""
_SHOWN_LENGTH = 100

# The second line of both is empty: the pipeline's file may be called so that Python would read an encoding there
# (PEP 263), and looks for one no further down.
_TEXT = """\
{mark} Change the pipeline file instead:
#
# {shown}
#
{text}
#
# defaults: {defaults}, environment: {environment}
from airloom_airflow.bundles.pipeline_file import build_stub_dags

globals().update(build_stub_dags(__file__, {file!r}{owner}))
"""

_REFUSAL = """\
{mark} Rename the pipeline file instead:
#
# {shown}
from airloom.errors import SpecError

raise SpecError({message!r})
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
        file: the pipeline file, as a path below the folder of pipeline files.
        text: the pipeline file's bytes.
        defaults: digest of the defaults files behind it.
        environment: the overlay that applies.
        owner: the file that has the DAGs of the pipeline that this one claims too; None where this one has them.
    """

    file: str
    text: bytes
    defaults: str
    environment: str | None
    owner: str | None = None


def build_stub_name(file: str) -> str:
    """Where the DAG file of a pipeline file lies, below the folder of DAG files.

    For a file whose name is refused, one that every disk, database and log takes: the file's own name as far as can be,
    and a digest of it.
    """
    if refuse_name(file) is None:
        return f"{file}.py"
    plain = re.sub(r"[^\w.-]", "-", file, flags=re.ASCII)[:_SHOWN_LENGTH]
    return f"{_REFUSED_FOLDER}/{plain}.{hashlib.sha256(os.fsencode(file)).hexdigest()[:8]}.py"


def build_stub(stub: Stub) -> str:
    """The DAG file's text: valid Python whatever bytes the pipeline file holds."""
    lines = stub.text.decode("utf-8", "backslashreplace").splitlines()
    return _TEXT.format(
        mark=MARK,
        shown=_one_line(stub.file),
        file=stub.file,
        text="\n".join(f"# {_one_line(line)}".rstrip() for line in lines),
        defaults=stub.defaults,
        environment=_one_line(str(stub.environment)),
        owner="" if stub.owner is None else f", owner={stub.owner!r}",
    )


def build_refusal(shown: str, message: str) -> str:
    """The text of the DAG file that stands for a pipeline file whose name is refused: it is the import error.

    Args:
        shown: the pipeline file's path, printable.
        message: what is wrong with it, and what to do.
    """
    return _REFUSAL.format(mark=MARK, shown=shown, message=f"{shown}: {message}")


def _one_line(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode()
