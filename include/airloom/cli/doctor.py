"""`airloom doctor`: looks at everything that a pipeline will need before its first run, and says what to mend."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from airloom.diagnosis import Diagnosis, right, wrong
from airloom.doctor.airflow import ask_airflow, check_ports, find_addresses, is_embedded, tell_not_started
from airloom.doctor.installation import check_environment, check_home, check_sources, load_pipelines
from airloom.doctor.libraries import check_libraries
from airloom.doctor.services import check_gateway, check_lineage, check_object_store, check_tracker
from airloom.errors import ConfigError
from airloom.settings import Settings, load_settings

_WIDTH = 80
_SIGNS = {"right": "ok   ", "wrong": "WRONG", "not checked": "?    "}


def run(arguments: list[str]) -> int:
    """Look and tell; 1 where anything is wrong, else 0, also where something could not be checked."""
    parser = argparse.ArgumentParser(prog="airloom doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="as one JSON object: wrong, not_checked, diagnoses")
    parser.add_argument("--kubeconfig", metavar="PATH", help="look into the cluster with this account, where Airflow's "
                        "own may not read nodes, Secrets or queues; Airflow's rights are asked of its own")  # fmt: skip
    parser.add_argument("--context", help="of that kubeconfig")
    options = parser.parse_args(arguments)
    looking = [f"--{name}={value}" for name in ("kubeconfig", "context") if (value := getattr(options, name))]
    found = list(examine(os.environ, looking))
    if options.json:
        print(json.dumps(_to_json(found), indent=2, ensure_ascii=False))
    else:
        width = min(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns)
        print("\n".join(line for diagnosis in found for line in format_diagnosis(diagnosis, width)))
        print(_sum_up(found))
    return 1 if any(diagnosis.verdict == "wrong" for diagnosis in found) else 0


def examine(environ: Mapping[str, str], looking: Iterable[str] = ()) -> Iterator[Diagnosis]:
    """All diagnoses, one after the other as they are made.

    Args:
        environ: the installation's variables.
        looking: arguments of the Airflow side that say with which account the cluster is looked into.
    """
    try:
        settings = load_settings(environ)
    except ConfigError as error:
        message, _, remedy = str(error).partition("; ")
        yield wrong("settings", message.partition(" ")[0], message, remedy[:1].upper() + remedy[1:])
        return
    yield right("settings", "AIRLOOM_…", f"can be read; stages run as {settings.runtime}")
    with tempfile.TemporaryDirectory(prefix="airloom-doctor-") as scratch:
        theirs = ask_airflow(settings, list(looking), environ, Path(scratch))
        folders = theirs.folders
        if folders is None:
            folders = {settings.pipelines: str(settings.pipelines)}
        for found in (*_examine_here(settings, folders, environ), *theirs.diagnoses):
            yield _show(found, folders)


def _examine_here(settings: Settings, folders: Mapping[Path, str], environ: Mapping[str, str]) -> Iterator[Diagnosis]:
    """Those of the Airflow-free side.

    Args:
        folders: of pipeline files.
    """
    yield check_home(settings)
    embedded, addresses = is_embedded(environ), find_addresses(settings, environ)
    pipelines, found = load_pipelines(settings, folders, meant=embedded or "AIRLOOM_PIPELINES" in environ)
    yield from found
    yield from check_environment(settings, folders, pipelines)
    yield from check_sources(pipelines, settings, environ)
    yield from check_libraries(pipelines, folders, settings, environ)
    yield from check_object_store(settings)
    yield check_lineage(settings, environ)
    if embedded:
        yield check_ports(settings, environ)
    if addresses:
        settings = replace(settings, tracking_uri=addresses.mlflow, gateway_url=addresses.gateway)
    if embedded and not addresses and "AIRLOOM_TRACKING_URI" not in environ:
        yield tell_not_started("MLflow", "AIRLOOM_TRACKING_URI")
    else:
        yield check_tracker(settings)
    if embedded and not addresses and "AIRLOOM_GATEWAY_URL" not in environ:
        yield tell_not_started("gateway", "AIRLOOM_GATEWAY_URL")
    else:
        yield from check_gateway(settings, pipelines)


def _show(found: Diagnosis, folders: Mapping[Path, str]) -> Diagnosis:
    """With what people call the folders of pipeline files, in place of where copies of them lie now."""
    texts = {name: getattr(found, name) for name in ("where", "message", "remedy")}
    for path, shown in folders.items():
        texts = {name: text.replace(str(path), shown) for name, text in texts.items()}
    return replace(found, **texts)


def format_diagnosis(diagnosis: Diagnosis, width: int) -> Iterator[str]:
    """Lines of at most so many columns, where no single word is longer."""
    head = f"{_SIGNS[diagnosis.verdict]} {diagnosis.check}: "
    texts = [f"{diagnosis.where}: {diagnosis.message}"]
    if diagnosis.verdict != "right" and diagnosis.remedy:
        texts.append(f"-> {diagnosis.remedy}")
    for index, text in enumerate(texts):
        yield from textwrap.wrap(
            text, width, initial_indent=" " * 6 if index else head, subsequent_indent=" " * (9 if index else 6),
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip


def _sum_up(found: list[Diagnosis]) -> str:
    wrongs = sum(diagnosis.verdict == "wrong" for diagnosis in found)
    open_ones = sum(diagnosis.verdict == "not checked" for diagnosis in found)
    return f"{len(found)} looked at: {wrongs} wrong, {open_ones} not checked"


def _to_json(found: list[Diagnosis]) -> dict[str, object]:
    return {
        "wrong": sum(diagnosis.verdict == "wrong" for diagnosis in found),
        "not_checked": sum(diagnosis.verdict == "not checked" for diagnosis in found),
        "diagnoses": [diagnosis.to_json() for diagnosis in found],
    }
