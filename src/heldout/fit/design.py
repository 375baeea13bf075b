"""Features as columns of numbers: numeric ones as they are, text as one column of 0 and 1 for each of its values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from heldout.errors import StudyError, near_miss
from heldout.fit.closed_form import Floats

_MOST = 1000  # as a square of float64: 8 MB a group


class Column(NamedTuple):
    """A number of a feature, or whether the feature has this value."""

    feature: str
    value: str | None = None

    def of(self, features: pl.DataFrame) -> Floats:
        """Float64 ``[rows]``."""
        column = features[self.feature]
        found = column if self.value is None else column.cast(pl.String) == self.value
        return found.cast(pl.Float64).to_numpy()


def chosen(features: pl.DataFrame, names: Sequence[str] | None) -> pl.DataFrame:
    """The declared features, or all.

    Raises:
        StudyError: If one is not there.
    """
    for name in names or ():
        if name not in features.columns:
            raise StudyError(
                f"the corpus has no feature {name!r}", where="fit.features", hint=near_miss(name, features.columns)
            )
    return features if names is None else features.select(names)


def columns_of(features: pl.DataFrame) -> tuple[Column, ...]:
    """Columns for these rows; a value of a text that is not among them has none."""
    found = []
    for name, dtype in features.schema.items():
        if dtype.is_numeric() or dtype == pl.Boolean:
            found.append(Column(name))
            continue
        values = features[name].cast(pl.String).unique().drop_nulls()
        found += [Column(name, value) for value in values]
    return in_order(found)


def in_order(columns: Iterable[Column]) -> tuple[Column, ...]:
    """Columns, sorted.

    Raises:
        StudyError: If there are too many of them.
    """
    found = tuple(sorted(columns, key=lambda column: (column.feature, column.value or "")))
    if len(found) > _MOST:
        texts = Counter(column.feature for column in found if column.value is not None)
        name, values = texts.most_common(1)[0] if texts else ("", 0)
        raise StudyError(
            f"{len(found)} columns"
            + (f", {values} of them values of the text {name!r}," if values else "")
            + f" are more than {_MOST}: a ridge from sums over groups would hold their square for each",
            where="fit.features",
            hint="list the features to use, or take `backbone: sklearn` with sklearn.linear_model.Ridge",
        )
    return found


def matrix(features: pl.DataFrame, columns: Sequence[Column]) -> Floats:
    """Float64 ``[rows, columns]``."""
    found = [column.of(features) for column in columns]
    return np.column_stack(found).astype(np.float64) if found else np.zeros((features.height, 0))
