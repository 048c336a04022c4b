"""`DataQuality` on Great Expectations: an ephemeral context for each validation, data docs in a folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airloom.errors import MissingExtraError, SpecError
from airloom.ports.data_quality import QualityReport
from airloom.protocol import Verdict
from airloom.telemetry import switch_off

if TYPE_CHECKING:
    import pandas as pd

logging.getLogger("great_expectations").setLevel(logging.ERROR)
switch_off(os.environ)  # before the import: it asks once, at that moment
try:
    import great_expectations as gx
    from great_expectations.checkpoint import UpdateDataDocsAction
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )
except ImportError as error:
    raise MissingExtraError("great_expectations", "great-expectations") from error

_COLUMN_KEYS = ("column", "column_A", "column_B", "column_list", "column_set")


class GreatExpectationsDataQuality:
    """See `airloom.ports.data_quality.DataQuality`."""

    def validate(
        self, rows: pd.DataFrame, name: str, expectations: Sequence[Mapping[str, Mapping[str, Any]]], folder: Path
    ) -> QualityReport:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        context.add_data_docs_site(
            site_name="airloom",
            site_config={
                "class_name": "SiteBuilder",
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
                "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)},
            },
        )
        suite = context.suites.add(gx.ExpectationSuite(name=name))
        for position, expectation in enumerate(expectations):
            (kind, arguments), *_ = expectation.items()
            suite.add_expectation(_build(position, kind, arguments))
        batch = (
            context.data_sources.add_pandas("airloom")
            .add_dataframe_asset(name)
            .add_batch_definition_whole_dataframe("all")
        )
        definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
        checkpoint = context.checkpoints.add(
            gx.Checkpoint(
                name=name,
                validation_definitions=[definition],
                actions=[UpdateDataDocsAction(name="docs", site_names=["airloom"])],
                result_format={"result_format": "SUMMARY", "partial_unexpected_count": 5},
            )
        )
        result = checkpoint.run(batch_parameters={"dataframe": rows})
        (found,) = result.run_results.values()
        by_position = {one.expectation_config.meta["airloom_position"]: one for one in found.results}
        verdicts = tuple(_verdict(by_position[position]) for position in range(len(expectations)))
        return QualityReport(verdicts, found.describe().encode(), folder)

    def find_faults(self, expectations: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[int, str]:
        faults: dict[int, str] = {}
        for position, expectation in enumerate(expectations):
            (kind, arguments), *_ = expectation.items()
            try:
                _build(position, kind, arguments)
            except SpecError as error:
                faults[position] = str(error)
        return faults


def _build(position: int, kind: str, arguments: Mapping[str, Any]) -> Any:
    known = list_registered_expectation_implementations()
    if kind not in known:
        near = get_close_matches(kind, known, 3, 0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "see greatexpectations.io/expectations"
        raise SpecError(f"data.expectations names {kind!r}, which Great Expectations has not; {hint}")
    try:
        return get_expectation_impl(kind)(**arguments, meta={"airloom_position": position})
    except (ValueError, TypeError) as error:
        raise SpecError(f"data.expectations: {kind} does not take {dict(arguments)!r}: {error}") from error


def _verdict(result: Any) -> Verdict:
    config = result.expectation_config
    arguments = {key: value for key, value in config.kwargs.items() if key not in ("batch_id",)}
    subject = next((arguments[key] for key in _COLUMN_KEYS if key in arguments), None)
    subject = ", ".join(map(str, subject)) if isinstance(subject, list) else subject
    observed = result.result.get("observed_value")
    return Verdict(
        name=f"{config.type}({subject})" if subject else config.type,
        passed=bool(result.success),
        reason=_reason(result, observed),
        value=float(observed) if isinstance(observed, int | float) else None,
    )


def _reason(result: Any, observed: Any) -> str:
    raised = [one["exception_message"] for one in _exceptions(result.exception_info)]
    if raised:
        return f"could not be checked: {raised[0]}"
    wanted = ", ".join(
        f"{key} {value}"
        for key, value in result.expectation_config.kwargs.items()
        if key not in ("batch_id", *_COLUMN_KEYS)
    )
    wanted = f" (wanted: {wanted})" if wanted else ""
    if observed is not None:
        return f"observed {observed}{wanted}"
    figures = result.result
    if "unexpected_count" in figures:
        examples = ", ".join(map(str, figures.get("partial_unexpected_list", [])[:3]))
        examples = f", such as {examples}" if examples else ""
        return f"{figures['unexpected_count']} of {figures['element_count']} values are unexpected{examples}{wanted}"
    return f"{'holds' if result.success else 'does not hold'}{wanted}"


def _exceptions(info: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Great Expectations tells one exception flat, and several by metric."""
    if "raised_exception" in info:
        return [info] if info["raised_exception"] else []
    return [one for one in info.values() if isinstance(one, Mapping) and one.get("raised_exception")]
