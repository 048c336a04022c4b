"""Airflow's environment, settings and database."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.requirements import Requirement

from airloom.diagnosis import Diagnosis, right, unchecked, wrong
from airloom.settings import Settings
from airloom_airflow.dag_factory.executors import list_bundles
from airloom_airflow.doctor.folders import SETTING
from airloom_airflow.doctor.pipelines import check_pools, read_pools

_DIST = "airloom-airflow"


def check_requirements() -> Iterator[Diagnosis]:
    """Whether what airloom-airflow asks for is installed beside it, in versions that do."""
    amiss = False
    for text in importlib.metadata.requires(_DIST) or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            version = ""
        if not version or not requirement.specifier.contains(version, prereleases=True):
            amiss = True
            found = f"{requirement.name} is {version or 'not installed'}; {_DIST} asks for {requirement}"
            yield wrong("Airflow", requirement.name, found, f"pip install '{requirement}'")
    if not amiss:
        version = importlib.metadata.version("apache-airflow")
        yield right("Airflow", f"apache-airflow {version}", f"all that {_DIST} asks for is installed")


def check_airflow(settings: Settings, *, started: bool, environ: Mapping[str, str] = os.environ) -> Iterator[Diagnosis]:
    """Whether Airflow has our DAGs and its database, and stages have their Python.

    Args:
        settings: the installation.
        started: False: Airflow is the embedded one, which makes all of this when it starts.
    """
    if not started:
        message = "the embedded Airflow makes it when it starts, and has not yet"
        yield unchecked("database", "airflow.db", message, "Run `airloom up`, then this again.")
        return
    yield check_bundles()
    database = check_database()
    yield database
    if database.verdict == "right":
        yield from check_lost_bundles()
        yield from check_pools(settings, read_pools())
    if settings.runtime == "subprocess":
        yield check_stage_python(environ.get("AIRLOOM_STAGE_PYTHON"))


def check_bundles() -> Diagnosis:
    """Whether the DAG processor is told to read pipeline files."""
    if ours := [str(bundle["name"]) for bundle in list_bundles(ours=True)]:
        return right("DAG bundles", SETTING, f"{', '.join(ours)} reads pipeline files")
    return unchecked(
        "DAG bundles", SETTING, "none is Airloom's, and what the DAG files of the others hold was not looked at",
        "Add {\"name\": \"airloom\", \"classpath\": \"airloom_airflow.bundles.PipelineDagBundle\", \"kwargs\": {}}, "
        "unless a file in the DAGs folder loads the pipelines.",
    )  # fmt: skip


def check_lost_bundles() -> Iterator[Diagnosis]:
    """Bundles whose DAGs Airflow's database has, and which the configured list lacks: it replaces Airflow's own."""
    from sqlalchemy import select

    from airloom_airflow.speedups.database import DagBundleModel, DagModel, create_session

    listed = {str(bundle.get("name")) for ours in (True, False) for bundle in list_bundles(ours=ours)}
    with create_session() as session:
        active = {
            str(name): bool(on) for name, on in session.execute(select(DagBundleModel.name, DagBundleModel.active))
        }
        with_dags = {str(name) for name in session.scalars(select(DagModel.bundle_name).distinct())}
    for name in sorted(active.keys() - listed):
        if active[name]:
            message = f"Airflow's database has the active bundle {name}, which the list lacks: its DAGs go with it"
            remedy = "Add its entry to the list; of Airflow's default, dags-folder, docs/bundles.md has it."
            yield wrong("DAG bundles", SETTING, message, remedy)
        elif name in with_dags:
            message = f"Airflow's database has DAGs of the bundle {name}, which the list lacks: they are switched off"
            remedy = "Add its entry to the list, or delete those DAGs (`airflow dags delete`) if they are to stay away."
            yield unchecked("DAG bundles", SETTING, message, remedy)


def check_database() -> Diagnosis:
    """Whether Airflow's database answers, and is of this Airflow's version."""
    from airflow.configuration import conf
    from sqlalchemy import text
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    from airloom_airflow.speedups.database import check_migrations, create_session

    where = make_url(conf.get_mandatory_value("database", "sql_alchemy_conn")).render_as_string(hide_password=True)
    try:
        with create_session() as session:
            session.execute(text("SELECT 1"))
        check_migrations(timeout=0)  # type: ignore[no-untyped-call]
    except SQLAlchemyError as error:
        told = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        remedy = "Start it, or mend AIRFLOW__DATABASE__SQL_ALCHEMY_CONN."
        return wrong("database", where, f"it does not answer: {told}", remedy)
    except TimeoutError:
        return wrong("database", where, "its tables are not those of this Airflow", "Run `airflow db migrate`.")
    return right("database", where, "it answers, with the tables of this Airflow")


def check_stage_python(python: str | None) -> Diagnosis:
    """Whether stages, which are processes here, have a Python with airloom."""
    where = "AIRLOOM_STAGE_PYTHON"
    remedy = "Set it to the Python of the environment that has airloom and its extras."
    if not python:
        return wrong("stages", where, "it is not set, and stages are processes of this machine", remedy)
    if not Path(python).is_file():
        return wrong("stages", where, f"{python} is not there", remedy)
    asked = [python, "-c", "import airloom; print(airloom.__version__)"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=60)
    here = importlib.metadata.version("airloom")
    if told.returncode:
        last = told.stderr.strip().splitlines()[-1:]
        return wrong("stages", where, f"{python} cannot import airloom: {' '.join(last)}", remedy)
    if told.stdout.strip() != here:
        message = f"{python} has airloom {told.stdout.strip()}, Airflow's environment {here}"
        return wrong("stages", where, message, f"{python} -m pip install 'airloom=={here}'")
    return right("stages", where, f"{python} has airloom {here}")
