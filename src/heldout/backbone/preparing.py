"""What an estimator is given: numbers scaled and filled, words as one column a level, or the columns as they are.

All of it is fitted with the estimator, on the train view, and is part of the model that is stored. A missing word is a
level of its own; a missing number stays one where the estimator takes it, else it becomes the median of the training
rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.errors import PrerequisiteError, StudyError

Given = Literal["matrix", "polars", "pandas"]
_MANY = 1000  # levels, above which one column a level would be mostly zeros
_CELLS = 1 << 25


def given(features: pl.DataFrame, form: Given) -> Any:
    """The rows in the form in which an estimator is given them.

    Raises:
        PrerequisiteError: If that is pandas, and there is none.
    """
    if form != "pandas":
        return _plain(features)
    try:
        import pandas as pd  # type: ignore[import-untyped]
    except ImportError:
        raise PrerequisiteError(
            "pandas is not installed", where="fit.given", hint="pip install 'heldout[pandas]', or write `given: polars`"
        ) from None
    columns = {
        name: column.to_numpy() if column.dtype.is_numeric() else np.array(column.to_list(), dtype=object)
        for name, column in zip(features.columns, features.get_columns(), strict=True)
    }
    return pd.DataFrame(columns)


def _plain(features: pl.DataFrame) -> pl.DataFrame:
    """Truth values with gaps as numbers: there is no gap among truth values of numpy."""
    gaps = [name for name, dtype in features.schema.items() if dtype == pl.Boolean and features[name].has_nulls()]
    return features.with_columns(pl.col(name).cast(pl.Float64) for name in gaps)


def preprocessing(features: pl.DataFrame, *, scale: bool, impute: bool, sparse: bool) -> Any:
    """A transformer of these columns, not fitted yet.

    Args:
        features: The rows to train on.
        scale: Standardise numbers.
        impute: Fill missing numbers with the median of the training rows.
        sparse: Whether the estimator takes sparse matrices.

    Raises:
        StudyError: If a text has so many values that one column for each has no room.
    """
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numeric = [name for name, dtype in features.schema.items() if dtype.is_numeric() or str(dtype) == "Boolean"]
    text = [name for name in features.columns if name not in numeric]
    numbers = StandardScaler() if scale else "passthrough"
    if impute:
        filled = SimpleImputer(strategy="median", keep_empty_features=True)
        numbers = make_pipeline(filled, numbers) if scale else filled
    steps: list[Any] = [(numbers, numeric)] if numeric else []
    if text:
        counts = [features[name].value_counts()["count"] for name in text]
        many = sum(map(len, counts)) > _MANY
        encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=many and sparse)
        if many and not sparse:  # what stands once says nothing of other rows: all of that shares a column
            encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=2, sparse_output=False)
            _refuse_too_many(features, {name: int((each > 1).sum()) for name, each in zip(text, counts, strict=True)})
        steps.append((encoder, text))
    return make_column_transformer(*steps)


def _refuse_too_many(features: pl.DataFrame, levels: Mapping[str, int]) -> None:
    """Refuse one column for each of so many levels, where every zero of them would be written."""
    if sum(levels.values()) * features.height <= _CELLS:
        return
    most = max(levels, key=lambda name: levels[name])
    raise StudyError(
        f"the text {most!r} has {levels[most]:,} values that repeat in {features.height:,} rows, and the estimator "
        "takes no sparse matrix: one column for each value has no room",
        where="fit.features",
        hint=f"name {most!r} in `corpus.ignore`, or choose another estimator",
    )


def weigh(transformer: Any, features: pl.DataFrame, weight: NDArray[np.float64]) -> None:
    """Let a fitted transformer count rows by their weights: a row of weight 2 is two rows."""
    from sklearn.pipeline import Pipeline

    for _, step, columns in transformer.transformers_:
        steps = [each for _, each in step.steps] if isinstance(step, Pipeline) else [step]
        rows = features.select(columns) if len(columns) and not isinstance(columns, slice) else None
        for each in steps:
            name = type(each).__name__
            if rows is None:
                continue
            if name == "SimpleImputer":
                table = rows.select(pl.all().cast(pl.Float64)).to_numpy()
                each.statistics_ = np.array([_median(column, weight) for column in table.T])
                rows = each.transform(rows)
            elif name == "StandardScaler":
                each.fit(rows, sample_weight=weight)


def _median(values: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """The median of rows that stand there as often as they weigh; 0 where no value is known."""
    known = ~np.isnan(values)
    order = np.argsort(values[known], kind="stable")
    values, total = values[known][order], np.cumsum(weight[known][order])
    if not len(values):
        return 0.0
    half = total[-1] / 2
    low = int(np.searchsorted(total, half * (1 - 1e-12)))
    high = int(np.searchsorted(total, half * (1 + 1e-12)))
    return float((values[low] + values[min(high, len(values) - 1)]) / 2)
