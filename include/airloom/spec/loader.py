"""Reads a pipeline file with the defaults behind it and the environment's overlay over it.

`load_pipeline` is the one way from files to a `Pipeline`. Precedence, weakest first: `defaults.yaml` of the root,
`defaults.yaml` of the team's folder, the file, and in the same order their parts `environments.<name>`, which are
partial specs. Mappings merge, everything else replaces (so does a mapping of another `type`), and null takes away
what lies behind. Not here: YAML's form (`document`), the words of errors (`complaints`).
"""

from __future__ import annotations

import contextlib
import functools
import operator
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from airloom.errors import Finding, SpecError
from airloom.spec.complaints import Complaint, build_complaints
from airloom.spec.document import Document, Key, Place, join_path, load_document, parse_document, shorten
from airloom.spec.file_names import refuse_name, show_name
from airloom.spec.file_reading import is_folder
from airloom.spec.idle import find_idle
from airloom.spec.pipeline import Pipeline

DEFAULTS_FILE = "defaults.yaml"
MISNAMED_DEFAULTS_FILE = "defaults.yml"
"""Refused wherever it would be thought to count: pipeline files may end so, the one file of defaults may not."""
SUFFIXES = (".yaml", ".yml")


def load_pipeline(path: Path, root: Path | None = None, environment: str | None = None) -> Pipeline:
    """Read, merge and check a pipeline file.

    Args:
        path: the pipeline file.
        root: the folder of pipeline files, `<team>/<pipeline>.yaml` below it; `defaults.yaml` in it and in the team's
            folder lie behind the file. Left out: no defaults.
        environment: name of the overlay that applies; a file that has no such overlay stays as it is.

    Errors:
        SpecError: with file, line, column, what was given, what is allowed, what to do; all findings at once.
    """
    team = _find_team(path, root)
    documents = _load_layers(path, root, team)
    base = [_Layer(document) for document in documents]
    names = sorted({name for document in documents for name in document.data.get("environments", {})})
    chosen = _check(base + _overlays(documents, environment), path, team, given=root is not None)
    findings = dict.fromkeys(chosen.findings)
    for name in names:
        if name != environment:  # not wanted now, but told now: a typo in it must not wait for the day it is
            overlays = _overlays(documents, name)
            others = _check(base + overlays, path, team, given=root is not None)
            findings.update(dict.fromkeys(finding for finding in others.findings if finding in others.of_overlays))
    if chosen.pipeline is None or findings:
        raise SpecError(findings=sorted(findings, key=lambda finding: (finding.file, finding.line, finding.column)))
    return chosen.pipeline


def load_metadata(root: Path, file: str, text: bytes) -> dict[str, Any]:
    """A pipeline file's metadata as `load_pipeline` has it, over that of the defaults, unchecked.

    Empty where the file has none that can be read. Defaults that are not what they must be count as none: their
    pipelines fail for it, and are the same pipelines still.

    Args:
        root: the folder of pipeline files.
        file: the file's path below it.
        text: the file's bytes.
    """
    try:
        document = parse_document(text, file)
    except SpecError:
        return {}
    if not isinstance(document.data, dict):
        return {}
    team = file.partition("/")[0] if "/" in file else None
    layers: list[Document] = []
    for place in _list_defaults(root, team):
        with contextlib.suppress(SpecError):
            defaults = _load_defaults(place, root)
            if defaults is not None and next(_check_shape(defaults, is_defaults=True), None) is None:
                layers.append(defaults)
    parts = [{"metadata": each.data["metadata"]} for each in (*layers, document) if "metadata" in each.data]
    metadata = _combine(parts, team).get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def find_pipeline_files(place: Path) -> Iterator[Path]:
    """Pipeline files in a folder and the folders below it, sorted; defaults and hidden names left out."""
    for path in sorted(place.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(place).parts)
        if path.suffix in SUFFIXES and path.stem != "defaults" and not hidden and not is_folder(path):
            yield path


def find_root(path: Path) -> Path | None:
    """The folder of pipeline files that a file lies in: the nearest folder above it called `pipelines`, if any."""
    return next((folder for folder in path.absolute().parents if folder.name == "pipelines"), None)


def place_complaints(
    complaints: Iterable[Complaint], path: Path, root: Path | None = None, environment: str | None = None
) -> list[Finding]:
    """Findings of what is wrong in a pipeline that was read well: where in which file each value stands.

    Args:
        complaints: what is wrong.
        path: the pipeline file; `root` and `environment` are as for `load_pipeline`.
    """
    documents = _load_layers(path, root, _find_team(path, root))
    layers = [_Layer(document) for document in documents] + _overlays(documents, environment)
    return [_place(complaint, layers, path)[0] for complaint in complaints]


@dataclass(frozen=True)
class _Layer:
    """A document, or one environment of it, as part of a pipeline."""

    document: Document
    environment: str | None = None

    @property
    def part(self) -> dict[str, Any]:
        data: dict[str, Any] = self.document.data
        if self.environment is not None:
            return {"spec": data["environments"][self.environment]}
        return {key: value for key, value in data.items() if key != "environments"}

    def find(self, path: tuple[Key, ...], of_key: bool) -> tuple[int, Place]:
        """As `Document.find`, for a path in the merged data; -1 steps where this layer has nothing to do with it."""
        if self.environment is None:
            return self.document.find(path, of_key)
        if path[:1] != ("spec",):
            return -1, (1, 1)
        depth, place = self.document.find(("environments", self.environment, *path[1:]), of_key)
        return depth - 1, place


@dataclass(frozen=True)
class _Checked:
    pipeline: Pipeline | None
    findings: tuple[Finding, ...] = ()
    of_overlays: frozenset[Finding] = frozenset()


def _check(layers: list[_Layer], path: Path, team: str | None, given: bool) -> _Checked:
    """Merge the layers and check the whole."""
    data = _combine((layer.part for layer in layers), team)
    pipeline: Pipeline | None = None
    complaints: list[Complaint] = []
    try:
        pipeline = Pipeline.model_validate(data)
    except ValidationError as error:
        complaints.extend(build_complaints(Pipeline, data, error.errors(include_url=False)))
    else:
        if given and team is not None and pipeline.metadata.team != team:
            message = f"given {pipeline.metadata.team!r}, but the file lies in {team!r}; move it, or leave team out"
            complaints.append(Complaint(("metadata", "team"), message, False))
    told = [_place(complaint, layers, path) for complaint in complaints]
    if pipeline is not None:
        idle = (_place(complaint, layers, path) for complaint in find_idle(pipeline))
        told += [(finding, overlay) for finding, overlay in idle if finding.file == layers[-1].document.file]
    return _Checked(
        pipeline, tuple(finding for finding, _ in told), frozenset(finding for finding, overlay in told if overlay)
    )


def _combine(parts: Iterable[dict[str, Any]], team: str | None) -> dict[str, Any]:
    """Merge the layers' data, weakest first; where none of them gives the team it is the folder's."""
    data: dict[str, Any] = {}
    for part in parts:
        data = _merge(data, part)
    metadata = data.get("metadata")
    if isinstance(metadata, dict) and team is not None and metadata.get("team") is None:
        data = {**data, "metadata": {**metadata, "team": team}}
    return data


def _place(complaint: Complaint, layers: list[_Layer], path: Path) -> tuple[Finding, bool]:
    """Say where a complaint's value came from, and whether from an overlay.

    The last layer that has the value gave it. Where none has it (a missing key), the layer that has most of the way
    there is told, the pipeline file before others.
    """
    steps = complaint.path
    found = [(layer, *layer.find(steps, complaint.of_key)) for layer in layers]
    whole = [entry for entry in found if entry[1] == len(steps)]
    if whole:
        layer, _, place = whole[-1]
    else:
        layer, _, place = max(found, key=lambda entry: (entry[1], entry[0].environment is None, layers.index(entry[0])))
        if complaint.of_key is False:
            _, place = layer.find(steps, True)
    if layer.environment is not None:
        steps = ("environments", layer.environment, *steps[1:])
    finding = Finding(layer.document.file, *place, join_path(steps), complaint.message)
    return finding, layer.environment is not None


def _overlays(documents: Iterable[Document], environment: str | None) -> list[_Layer]:
    return [
        _Layer(document, environment) for document in documents if environment in document.data.get("environments", {})
    ]


def _find_team(path: Path, root: Path | None) -> str | None:
    """The team's folder; None for a file that lies in the root itself."""
    if root is None:
        return path.absolute().parent.name or None
    for spell in (Path.absolute, Path.resolve):  # links are followed only where the path as given does not do
        file, folder = spell(path), spell(root)
        if file.is_relative_to(folder):
            below = file.relative_to(folder)
            if (refused := refuse_name(below.as_posix())) is not None:
                raise SpecError(findings=[Finding(show_name(str(path)), 0, 0, "", refused)])
            parts = below.parts
            return parts[0] if len(parts) > 1 else None
    message = f"is not below the folder of pipeline files, {root}; move it there, or give another root"
    raise SpecError(findings=[Finding(str(path), 0, 0, "", message)])


def _load_layers(path: Path, root: Path | None, team: str | None) -> list[Document]:
    """Defaults and file, weakest first; the faults of all of them at once."""
    documents: list[Document] = []
    findings: list[Finding] = []
    for place in (*_list_defaults(root, team), path):
        if place is not path and os.path.lexists(misnamed := place.with_name(MISNAMED_DEFAULTS_FILE)):
            message = f"is not read: defaults lie in {DEFAULTS_FILE}; rename it, or remove it"
            findings.append(Finding(str(misnamed), 0, 0, "", message))
        try:
            document = load_document(place, root) if place is path else _load_defaults(place, root)
        except SpecError as error:
            findings.extend(error.findings)
            continue
        if document is not None:
            findings.extend(_check_shape(document, is_defaults=place is not path))
            documents.append(document)
    if findings:
        raise SpecError(findings=findings)
    return documents


def _list_defaults(root: Path | None, team: str | None) -> list[Path]:
    """The places of the defaults files behind a file, weakest first."""
    if root is None:
        return []
    return [root / DEFAULTS_FILE, *([root / team / DEFAULTS_FILE] if team else [])]


def _load_defaults(path: Path, root: Path | None) -> Document | None:
    """A defaults file, read once as long as it stays the same; None where there is none."""
    try:
        status = path.stat()
    except OSError:  # a link to nowhere is one, say: reading it says so
        return load_document(path, root) if os.path.lexists(path) else None
    return _load_unchanged(path, root, status.st_mtime_ns, status.st_size, status.st_ino)


@functools.lru_cache(maxsize=256)
def _load_unchanged(path: Path, root: Path | None, *stamp: int) -> Document:
    document = load_document(path, root)
    return document if document.data is not None else Document(document.file, {}, {})


def _check_shape(document: Document, is_defaults: bool) -> Iterator[Finding]:
    """The outermost shape, which merging relies on."""
    data = document.data
    if not isinstance(data, dict):
        empty = "the file is empty" if data is None else f"given {shorten(data)}"
        yield Finding(document.file, 1, 1, "", f"{empty}; a pipeline file is a mapping, see `airloom init`")
        return
    parts: list[tuple[Key, ...]] = [("environments",)] if "environments" in data else []
    if isinstance(data.get("environments"), dict):
        parts += [("environments", name) for name in data["environments"]]
    if is_defaults:
        parts += [(key,) for key in ("metadata", "spec") if key in data]
        if isinstance(data.get("metadata"), dict) and "name" in data["metadata"]:
            message = "a name is one pipeline's; give it in that pipeline's own file"
            yield Finding(document.file, *document.find(("metadata", "name"), True)[1], "metadata.name", message)
        for key in sorted(data.keys() - {"metadata", "spec", "environments"}):
            message = f"unknown key {key!r}; a defaults file holds: environments, metadata, spec"
            yield Finding(document.file, *document.find((key,), True)[1], key, message)
    for steps in parts:
        value: Any = functools.reduce(operator.getitem, steps, data)
        if not isinstance(value, dict):
            message = f"given {shorten(value)}; give a mapping (`key: value`), or leave it out"
            yield Finding(document.file, *document.find(steps)[1], join_path(steps), message)


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        lower = below.get(key)
        if value is None and key in below:
            del merged[key]
        elif isinstance(lower, dict) and isinstance(value, dict) and _same_type(lower, value):
            merged[key] = _merge(lower, value)
        else:
            merged[key] = value
    return merged


def _same_type(lower: dict[str, Any], upper: dict[str, Any]) -> bool:
    """Whether two sources or sinks are of one `type`; of others nothing may be mixed."""
    return bool(lower.get("type") == upper.get("type", lower.get("type")))
