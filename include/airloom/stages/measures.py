"""Measures of a model by the names of scikit-learn's metric functions. Used by evaluate, test, gate and monitor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airloom.errors import DataError, SpecError

_OF_PROBABILITIES = frozenset(
    {
        "average_precision_score",
        "brier_score_loss",
        "d2_brier_score",
        "d2_log_loss_score",
        "log_loss",
        "ndcg_score",
        "roc_auc_score",
        "top_k_accuracy_score",
    }
)
_AVERAGED = frozenset({"f1_score", "fbeta_score", "jaccard_score", "precision_score", "recall_score"})
_USUAL = {
    "classification": ("accuracy_score", "balanced_accuracy_score", "f1_score"),
    "regression": ("r2_score", "mean_absolute_error", "root_mean_squared_error"),
}

COMMON_METRICS = _OF_PROBABILITIES.union(_AVERAGED, *_USUAL.values())
"""Metrics of which it is known, without loading scikit-learn, that it has them."""


def usual_metrics(task: str) -> tuple[str, ...]:
    """What is measured where the pipeline names nothing."""
    return _USUAL[task]


def is_greater_better(metric: str) -> bool:
    """By scikit-learn's naming: `…_score` rises with quality, `…_loss` and `…_error` fall."""
    return metric.endswith("_score") or metric in ("class_likelihood_ratios", "cohen_kappa_score")


def require_metric(metric: str) -> Any:
    """The metric's function.

    Errors:
        SpecError: scikit-learn has no such metric, or it is no figure of truth against prediction.
    """
    from difflib import get_close_matches

    from sklearn import metrics

    known = [name for name in metrics.__all__ if name.endswith(("_score", "_loss", "_error"))]
    if metric not in known:
        near = get_close_matches(metric, known, 3) or ["roc_auc_score", "f1_score", "mean_absolute_error"]
        raise SpecError(f"{metric!r} is no metric of sklearn.metrics; did you mean {' or '.join(near)}?")
    return getattr(metrics, metric)


def measure(metric: str, truth: Any, prediction: Any, classes: Sequence[Any] | None) -> float:
    """One figure.

    Args:
        metric: a function of sklearn.metrics.
        truth: (n,) true classes or values.
        prediction: (n,) probability of the second of two classes, or regressed values, or classes; or (n, classes)
            probabilities.
        classes: the model's classes in order; None for regression.

    Errors:
        SpecError: there is no such metric. DataError: it is not defined for these rows (one class only, …).
    """
    import numpy as np

    function = require_metric(metric)
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    options: dict[str, Any] = {}
    if classes is not None:
        position = {value: index for index, value in enumerate(classes)}
        try:
            truth = np.array([position[getattr(value, "item", lambda value=value: value)()] for value in truth])
        except KeyError as error:
            raise DataError(f"the outcome {error} is none of the model's classes {list(classes)!r}") from error
        of_probabilities = prediction.ndim == 2 or (len(classes) == 2 and prediction.dtype.kind == "f")
        if metric in _OF_PROBABILITIES:
            if not of_probabilities:
                raise DataError(f"{metric} needs probabilities, and only classes are known")
            if prediction.ndim == 2 and len(classes) == 2:
                prediction = prediction[:, 1]
            if len(classes) > 2:
                options = {"multi_class": "ovr"} if metric == "roc_auc_score" else {}
                options["labels"] = list(range(len(classes)))
            elif metric in ("log_loss",):
                options["labels"] = [0, 1]
        else:
            prediction = _decide(prediction, position, of_probabilities)
            if metric in _AVERAGED and len(classes) > 2:
                options["average"] = "weighted"
    try:
        value = float(function(truth, prediction, **options))
    except (ValueError, TypeError) as error:
        raise DataError(f"{metric} cannot be measured on these {len(truth)} rows: {error}") from error
    if np.isnan(value):
        raise DataError(f"{metric} is not defined on these {len(truth)} rows (is there one class only?)")
    return value


def _decide(prediction: Any, position: dict[Any, int], of_probabilities: bool) -> Any:
    import numpy as np

    if not of_probabilities:
        return np.array([position[getattr(value, "item", lambda value=value: value)()] for value in prediction])
    return prediction.argmax(axis=1) if prediction.ndim == 2 else (prediction > 0.5).astype(int)
