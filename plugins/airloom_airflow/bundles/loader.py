"""Pipeline files as DAGs without a bundle: for managed Airflow, where only a folder of DAG files can be had.

One small file in the ordinary folder of DAG files calls `load_pipelines`; it needs no daemon and no patch:

    # DAGs of Airloom's pipeline files
    from airloom_airflow.bundles import load_pipelines

    globals().update(load_pipelines("/usr/local/airflow/dags/pipelines"))

A task builds its own DAG alone. The DAG processor builds all of them in one process, within Airflow's limit for one
DAG file (`dagbag_import_timeout`): from some hundred pipelines on, give each team a file of its own.

An import error here would stop all pipelines, since Airflow starts no DAG of a file that has one. So a pipeline file
that makes no DAGs of its own makes one that says why, tagged `broken`; the others run on.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.sdk import get_parsing_context

from airloom.errors import AirloomError, ConfigError
from airloom.settings import load_settings
from airloom.spec.file_names import refuse_name, show_name
from airloom_airflow.bundles.claims import (
    Claim,
    choose_owner,
    find_claimants,
    list_pipeline_files,
    read_bytes,
    read_claim,
    split_dag_id,
)
from airloom_airflow.bundles.pipeline_file import build_dags, refuse_newcomer
from airloom_airflow.dag_factory.broken import broken_dag_id, build_broken_dag
from airloom_airflow.dag_factory.janitor import JANITOR_DAG_ID, build_janitor_dag

if TYPE_CHECKING:
    from airflow.sdk import DAG

_log = logging.getLogger(__name__)


def load_pipelines(root: str | Path, team: str | None = None) -> dict[str, DAG]:
    """DAGs of the pipeline files `<team>/<pipeline>.yaml` below a folder, by id; in a task's process only the task's.

    Args:
        root: the folder of pipeline files.
        team: only this team's; left out, all, and where stages are pods the janitor's DAG too. With a file a team,
            give the janitor (`airloom_airflow.dag_factory.janitor.build_janitor_dag`) a file of its own.

    Errors:
        ConfigError: there is no such folder.
        SpecError: in a task's process, the task's pipeline file is not what it must be.
    """
    folder = Path(root).absolute()
    if not folder.is_dir():
        raise ConfigError(f"the folder of pipeline files {folder} is not there. Make it, or give another one.")
    wanted = get_parsing_context().dag_id
    settings = load_settings()
    has_janitor = team is None and settings.runtime == "kubernetes"
    if has_janitor and wanted == JANITOR_DAG_ID:
        return {JANITOR_DAG_ID: build_janitor_dag()}
    if wanted is not None and (claim := split_dag_id(wanted)) is not None:
        files = find_claimants(folder, claim)
        return build_dags(folder / choose_owner(claim, files), folder, settings.environment) if files else {}
    dags = {JANITOR_DAG_ID: build_janitor_dag()} if has_janitor and wanted is None else {}
    for file, owner in _find_owners(folder, team):
        if wanted in (None, broken_dag_id(file)):
            dags.update(_build(folder, file, owner, settings.environment))
    return dags


def _find_owners(root: Path, team: str | None) -> list[tuple[str, str]]:
    """Pipeline file → the file that has the DAGs of the pipeline that it claims, itself as a rule."""
    files: dict[str, Claim | None] = {}
    claimants: defaultdict[Claim, list[str]] = defaultdict(list)
    for file, _ in list_pipeline_files(root):
        named = refuse_name(file) is None
        claim = files[file] = read_claim(root, file, read_bytes(root / file)) if named else None
        if claim is not None:
            claimants[claim].append(file)
    owners = {claim: choose_owner(claim, found) for claim, found in claimants.items()}
    return [
        (file, file if claim is None else owners[claim])
        for file, claim in files.items()
        if team is None or file.startswith(f"{team}/")
    ]


def _build(root: Path, file: str, owner: str, environment: str | None) -> dict[str, DAG]:
    shown = show_name(file)
    try:
        if owner != file:
            raise refuse_newcomer(root / file, root / owner)
        return build_dags(root / file, root, environment)
    except AirloomError as error:
        _log.error("Pipeline file %s makes no DAGs: %s", shown, error)
        told = str(error)
    except Exception as error:  # Airflow's own no to what the file says must not take every other pipeline along
        _log.exception("Pipeline file %s makes no DAGs", shown)
        told = f"{root / file}: Airflow takes no DAG of it: {type(error).__name__}: {error}"
    return {broken_dag_id(file): build_broken_dag(broken_dag_id(file), shown, told)}
