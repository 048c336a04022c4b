"""Makes the estimator that a pipeline names, ready for missing values and text. Used by train only.

What the pipeline gives is the estimator; what stands before it is chosen here, so that the fitted whole takes the
rows as they come, at training and at serving alike:

- text becomes categories: natively where the estimator takes `categorical_features` (scikit-learn's histogram
  gradient boosting), one-hot elsewhere; a value never seen in training counts as missing, or as none of the known;
- missing numbers stay missing where the estimator takes them, and become the median elsewhere.

An `entrypoint` gets the raw columns and does as it likes.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airloom.errors import UserCodeError
from airloom.own_code import make_importable
from airloom.prediction import FeatureType
from airloom.spec.pipeline import Train

_MOST_CATEGORIES = 254
"""Histogram gradient boosting takes 255, one is for the rare."""


def build_estimator(train: Train, types: Mapping[str, FeatureType], data_root: Path) -> Any:
    """The pipeline's estimator with what must stand before it; its class is looked up below the data root too.

    Errors:
        UserCodeError: there is no such class, it is no estimator of the task, or it refuses the parameters.
    """
    assert train.estimator is not None
    make_importable(data_root)
    estimator = make_estimator(load_class(train.estimator), train)
    text = [name for name, kind in types.items() if kind == "text"]
    numbers = [name for name, kind in types.items() if kind == "number"]
    takes_missing = bool(estimator.__sklearn_tags__().input_tags.allow_nan)
    if not text and takes_missing:
        return estimator
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    native = "categorical_features" in estimator.get_params()
    columns = make_column_transformer(
        (_encode_natively() if native else _encode_one_hot(), text),
        ("passthrough" if takes_missing else SimpleImputer(strategy="median", keep_empty_features=True), numbers),
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    if native and "categorical_features" not in train.params:
        estimator.set_params(categorical_features=text)
    return make_pipeline(columns, estimator)


def load_entrypoint(entrypoint: str, data_root: Path) -> Any:
    """The user's training function, `module:function`; modules are looked up below the data root too.

    Errors:
        UserCodeError: there is no such module or function.
    """
    module_name, _, name = entrypoint.partition(":")
    make_importable(data_root)
    try:
        function = getattr(importlib.import_module(module_name), name)
    except ImportError as error:
        raise UserCodeError(
            f"train.entrypoint {entrypoint!r}: module {module_name!r} cannot be imported ({error}). It must be "
            f"installed where stages run, or lie below {data_root}"
        ) from error
    except AttributeError as error:
        raise UserCodeError(f"train.entrypoint {entrypoint!r}: module {module_name!r} has no {name!r}") from error
    except Exception as error:
        raise UserCodeError(f"train.entrypoint {entrypoint!r}: importing {module_name!r} failed: {error}") from error
    if not callable(function):
        raise UserCodeError(f"train.entrypoint {entrypoint!r} is a {type(function).__name__}; name a function")
    return function


def find_code(train: Train, data_root: Path) -> Path | None:
    """The file with the user's entry point or estimator, without running it; None for an installed estimator, or where
    there is none."""
    named = train.entrypoint or train.estimator
    assert named is not None
    module = named.partition(":")[0] if train.entrypoint else named.rpartition(".")[0]
    below = data_root.joinpath(*module.split("."))
    for file in (below / "__init__.py", below.with_name(f"{below.name}.py")):  # as Python looks
        if file.is_file():
            return file
    if train.entrypoint is None:
        return None
    from importlib.util import find_spec

    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and Path(spec.origin).is_file() else None


def load_class(path: str) -> Any:
    """What a pipeline names as its estimator; its module's code is run.

    Errors:
        UserCodeError: there is no such module, or nothing of that name in it.
    """
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserCodeError(
            f"train.estimator {path!r}: there is no module {module_name!r} where stages run ({error})"
        ) from error
    found = getattr(module, name, None)
    if found is None:
        from difflib import get_close_matches

        near = get_close_matches(name, dir(module), 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UserCodeError(f"train.estimator {path!r}: {module_name} has no {name!r}{hint}")
    return found


def make_estimator(found: Any, train: Train) -> Any:
    """The estimator with its parameters and seed, not fitted.

    Errors:
        UserCodeError: it is no estimator class, does another task, or does not take the parameters.
    """
    from sklearn.base import BaseEstimator, is_classifier, is_regressor

    if not (inspect.isclass(found) and issubclass(found, BaseEstimator)):
        raise UserCodeError(
            f"train.estimator {train.estimator!r} is no scikit-learn estimator class; "
            "for anything else write a function and name it as train.entrypoint"
        )
    estimator: Any
    try:
        estimator = found(**train.params)
    except TypeError as error:
        allowed = ", ".join(sorted(inspect.signature(found).parameters))
        raise UserCodeError(f"train.params do not fit {train.estimator}: {error}. It takes: {allowed}") from error
    fits = is_classifier(estimator) if train.task == "classification" else is_regressor(estimator)
    if not fits:
        raise UserCodeError(f"train.estimator {train.estimator} does no {train.task}; name another, or set train.task")
    if "random_state" in estimator.get_params() and "random_state" not in train.params:
        estimator.set_params(random_state=train.seed)
    return estimator


def _encode_natively() -> Any:
    import numpy as np
    from sklearn.preprocessing import OrdinalEncoder

    return OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        encoded_missing_value=np.nan,
        max_categories=_MOST_CATEGORIES,
    )


def _encode_one_hot() -> Any:
    from sklearn.preprocessing import OneHotEncoder

    return OneHotEncoder(handle_unknown="ignore", sparse_output=False, max_categories=_MOST_CATEGORIES)
