"""Whether what a pipeline names in the stages' libraries is there: metrics, an estimator, its arguments, expectations.

`airloom validate` and `airloom doctor` call it, so that a misspelt name does not cost the run up to the stage that
looks for it. A library is loaded only where a name needs it, and what is not installed here is not checked:
`list_unchecked` says so. No code of the user's own, below the data root, is run.
"""

from __future__ import annotations

import difflib
import importlib.util
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

from airloom.errors import AirloomError, MissingExtraError
from airloom.ports import DataQuality
from airloom.spec.complaints import Complaint
from airloom.spec.document import Key
from airloom.spec.pipeline import Pipeline, Train
from airloom.stages.estimators import load_class, make_estimator
from airloom.stages.measures import COMMON_METRICS, require_metric


def find_unknown_names(
    pipeline: Pipeline, data_root: Path, open_quality: Callable[[], DataQuality]
) -> Iterator[Complaint]:
    """What is not there, of that whose library is installed here.

    Args:
        pipeline: the resolved pipeline file.
        data_root: below which the user's own code lies.
        open_quality: called where there are expectations, whose library takes longest to load.
    """
    if _is_installed("sklearn"):
        for path, metric, of_key in _list_metrics(pipeline):
            try:
                require_metric(metric)
            except AirloomError as error:
                yield Complaint(path, str(error), of_key)
        yield from _check_estimator(pipeline.spec.train, data_root)
    if pipeline.spec.data.expectations and _is_installed("great_expectations"):
        try:
            faults = open_quality().find_faults(pipeline.spec.data.expectations)
        except MissingExtraError:
            return  # installed in part: `airloom doctor` says what lacks
        for position, fault in faults.items():
            yield Complaint(("spec", "data", "expectations", position), fault, False)


def list_unchecked(pipeline: Pipeline) -> Iterator[str]:
    """The libraries that a pipeline names something of, and that are not installed here."""
    if (pipeline.spec.train.estimator or list(_list_metrics(pipeline))) and not _is_installed("sklearn"):
        yield "scikit-learn"
    if pipeline.spec.data.expectations and not _is_installed("great_expectations"):
        yield "great-expectations"


def _list_metrics(pipeline: Pipeline) -> Iterator[tuple[tuple[Key, ...], str, bool]]:
    """Where each is named, which it is, and whether it is a key there; common ones left out."""
    spec = pipeline.spec
    named: list[tuple[tuple[Key, ...], str, bool]] = []
    if spec.evaluate is not None:
        named += [(("evaluate", "metrics", index), name, False) for index, name in enumerate(spec.evaluate.metrics)]
    if spec.gates is not None:
        named += [(("gates", "thresholds", name), name, True) for name in spec.gates.thresholds]
    if spec.gates is not None and spec.gates.champion is not None:
        named.append((("gates", "champion", "metric"), spec.gates.champion.metric, False))
    if spec.monitor is not None and spec.monitor.performance is not None:
        named.append((("monitor", "performance", "metric"), spec.monitor.performance.metric, False))
    yield from ((("spec", *path), name, of_key) for path, name, of_key in named if name not in COMMON_METRICS)


def _check_estimator(train: Train, data_root: Path) -> Iterator[Complaint]:
    """Whether the class is there, of the task, and takes `params`; an estimator below the data root is not loaded."""
    if train.estimator is None:
        return
    package = train.estimator.partition(".")[0]
    own = any(place.exists() for place in (data_root / package, data_root / f"{package}.py"))
    if own or not _is_installed(package):
        return
    place: tuple[Key, ...] = ("spec", "train", "estimator")
    try:
        found = load_class(train.estimator)
        if unknown := _find_unknown_arguments(found, train):
            allowed = sorted(set(inspect.signature(found).parameters))
            for name in unknown:
                near = difflib.get_close_matches(name, allowed, 1)
                hint = f" did you mean {near[0]!r}?" if near else ""
                message = f"{train.estimator} takes no {name!r};{hint} it takes {', '.join(allowed)}"
                yield Complaint(("spec", "train", "params", name), message, True)
            return
        make_estimator(found, train)
    except AirloomError as error:
        yield Complaint(place, str(error), False)
    except Exception as error:  # of whatever kind a library raises where it is loaded or made
        yield Complaint(place, f"{train.estimator} cannot be made: {type(error).__name__}: {error}", False)


def _find_unknown_arguments(found: object, train: Train) -> list[str]:
    if not inspect.isclass(found):
        return []
    parameters = inspect.signature(found).parameters
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return []
    return [name for name in train.params if name not in parameters]


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
