"""Asks a fitted estimator: the same columns and types at training, in the gateway, in batches and in monitoring.

Used by the stages and the gateway. It knows scikit-learn's conventions (`predict`, `predict_proba`) and pandas, and
no registry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from airloom.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FeatureType = Literal["number", "text"]


@dataclass(frozen=True)
class Answer:
    """What a model says of n rows.

    Attributes:
        decision: (n,) the class, or the regressed value.
        probabilities: (n, classes) in the order of the model's classes; None for regression, and for classifiers
            that give none.
        prediction: (n,) what logs and monitoring keep: the positive class's probability where there are two classes
            and probabilities, else the decision.
    """

    decision: np.ndarray[Any, Any]
    probabilities: np.ndarray[Any, Any] | None
    prediction: np.ndarray[Any, Any]


def infer_types(frame: pd.DataFrame, features: Sequence[str]) -> dict[str, FeatureType]:
    """Every feature's type, in the order given.

    Errors:
        DataError: a feature is missing, or of a type that no estimator takes (a time, a list).
    """
    from pandas.api import types

    found: dict[str, FeatureType] = {}
    for name in features:
        if name not in frame.columns:
            raise DataError(
                f"there is no column {name!r} to learn from; there are: {', '.join(map(str, frame.columns))}"
            )
        column = frame[name]
        if types.is_bool_dtype(column) or types.is_numeric_dtype(column):
            found[name] = "number"
        elif types.is_datetime64_any_dtype(column) or types.is_timedelta64_dtype(column):
            raise DataError(
                f"feature {name!r} is a time ({column.dtype}); name it in data.timestamp or data.key, or list "
                "train.features without it, or turn it into numbers in data.query, such as hour(…) or epoch(…)"
            )
        else:
            values = column.dropna()
            kinds = {type(value) for value in values.unique()} if len(values) else {str}
            if kinds <= {bool}:
                found[name] = "number"
            elif kinds <= {str}:
                found[name] = "text"
            else:
                raise DataError(
                    f"feature {name!r} holds {', '.join(sorted(kind.__name__ for kind in kinds))}; a feature is "
                    "numbers, booleans or text. Convert it in data.query"
                )
    return found


def ordered_types(metadata: Mapping[str, Any]) -> dict[str, FeatureType]:
    """The features' types in the order that the model learnt them: a store of metadata may sort a mapping's keys."""
    types = metadata["types"]
    return {name: types[name] for name in metadata["features"]}


def prepare(frame: pd.DataFrame, types: Mapping[str, FeatureType]) -> pd.DataFrame:
    """The features only, in order: numbers as float64, text as objects, what is missing as NaN or None."""
    import numpy as np
    import pandas as pd

    columns: dict[str, Any] = {}
    for name, kind in types.items():
        column = frame[name]
        if kind == "number":
            columns[name] = column.astype("float64")
        else:
            text = column.astype(object).to_numpy()
            columns[name] = np.where(pd.isna(text), None, text)
    return pd.DataFrame(columns, index=frame.index)


def predict(model: Any, frame: pd.DataFrame, metadata: Mapping[str, Any]) -> Answer:
    """Ask the model.

    Args:
        model: a fitted estimator.
        frame: one row an answer; has at least the model's features.
        metadata: the model's `airloom` metadata; `features`, `types` and `classes` are used.
    """
    import numpy as np
    from sklearn.pipeline import Pipeline

    given = prepare(frame, ordered_types(metadata))
    if isinstance(model, Pipeline) and len(model) > 1:  # transformed once, not once for each question
        given, model = model[:-1].transform(given), model[-1]
    classes = metadata.get("classes")
    decision = np.asarray(model.predict(given))
    if classes is None or not hasattr(model, "predict_proba"):
        return Answer(decision, None, decision)
    probabilities = np.asarray(model.predict_proba(given))
    return Answer(decision, probabilities, probabilities[:, 1] if len(classes) == 2 else decision)
