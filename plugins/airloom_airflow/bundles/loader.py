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

import difflib
import logging
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.sdk import get_parsing_context

from airloom.errors import AirloomError, ConfigError
from airloom.settings import load_settings
from airloom.spec.file_names import refuse_name, show_name
from airloom.spec.ownership import Claim, choose_owner
from airloom_airflow.bundles.claims import find_claimants, list_pipeline_files, read_bytes, read_claim, split_dag_id
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
        team: only this team's, in its folder or in the root by their `metadata.team`; left out, all, and where stages
            are pods the janitor's DAG too. With a file a team, give the janitor
            (`airloom_airflow.dag_factory.janitor.build_janitor_dag`) a file of its own.

    Errors:
        ConfigError: there is no such folder, or no pipeline file of that team in it.
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
    owners = _find_owners(folder, team)
    if team is not None and not owners:
        raise _refuse_team(folder, team)
    for file, owner in owners:
        if wanted in (None, broken_dag_id(file)):
            dags.update(_build(folder, file, owner, settings.environment))
    return dags


def _refuse_team(root: Path, team: str) -> ConfigError:
    claims = _read_claims(root, None)
    teams = sorted({claim.team if claim else file.partition("/")[0] for file, claim in claims if claim or "/" in file})
    near = difflib.get_close_matches(team, teams, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    there = f"of: {', '.join(teams)}" if teams else "of no team"
    return ConfigError(f"team {team!r} has no pipeline file below {root}; there are files {there}.{hint}")


def _find_owners(root: Path, team: str | None) -> list[tuple[str, str]]:
    """Pipeline file → the file that has the DAGs of the pipeline that it claims, itself as a rule."""
    files = _read_claims(root, team)
    claimants: defaultdict[Claim, list[str]] = defaultdict(list)
    for file, claim in files:
        if claim is not None:
            claimants[claim].append(file)
    owners = {claim: choose_owner(claim, found) for claim, found in claimants.items()}
    return [(file, file if claim is None else owners[claim]) for file, claim in files]


def _read_claims(root: Path, team: str | None) -> list[tuple[str, Claim | None]]:
    """A team's pipeline files, in its folder and in the root, or all of them, and what each claims."""
    found: list[tuple[str, Claim | None]] = []
    for file, _ in list_pipeline_files(root):
        folder, _, _ = file.rpartition("/")
        if team is not None and folder not in ("", team):
            continue
        claim = read_claim(root, file, read_bytes(root, file)) if refuse_name(file) is None else None
        if team in (None, folder) or (claim is not None and claim.team == team):
            found.append((file, claim))
        elif claim is None:
            _log.error(
                "Pipeline file %s makes no DAGs for team %s: whose it is cannot be read from it, and it lies in no "
                "team's folder. `airloom validate` says what is wrong with it; move it to its team's folder.",
                show_name(str(root / file)),
                team,
            )
    return found


def _build(root: Path, file: str, owner: str, environment: str | None) -> dict[str, DAG]:
    shown = show_name(file)
    try:
        if owner != file:
            raise refuse_newcomer(root, file, owner)
        return build_dags(root / file, root, environment)
    except AirloomError as error:
        _log.error("Pipeline file %s makes no DAGs: %s", shown, error)
        told = str(error)
    except Exception as error:  # Airflow's own no to what the file says must not take every other pipeline along
        _log.exception("Pipeline file %s makes no DAGs", shown)
        told = f"{root / file}: Airflow takes no DAG of it: {type(error).__name__}: {error}"
    return {broken_dag_id(file): build_broken_dag(broken_dag_id(file), shown, told)}
