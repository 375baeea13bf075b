"""What an estimator takes besides numbers: how many targets and features, and numbers below 0.

Else it would fail unit by unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.errors import StudyError

_HINT = (
    "let scikit-learn fit one for each: `estimator: sklearn.multioutput.MultiOutputRegressor`, "
    "`params: {estimator: {estimator: %s}}`; or use another, such as RandomForestRegressor"
)
_TRIED = 40  # rows


def refuse_features(
    estimator: Any, path: str, features: pl.DataFrame, numbers: Sequence[str], *, standard: bool
) -> None:
    """Refuse several features for what learns from one, and numbers below 0 where it takes none.

    Args:
        estimator: Not fitted.
        path: Its import path.
        features: That it learns from.
        numbers: Names of those that are numbers.
        standard: Whether they are standardised, so that some are below 0.

    Raises:
        StudyError: With the key of the study.
    """
    tags = _tags(estimator)
    if tags is None:
        return
    if not tags.input_tags.two_d_array and features.width > 1:
        raise StudyError(
            f"{path} learns from one feature, and there are {features.width}",
            where="fit.features",
            hint="name it, as `fit: {features: [name]}`",
        )
    below = [name for name in numbers if standard or features.select((pl.col(name) < 0).any()).item()]
    if tags.input_tags.positive_only and below:
        raise StudyError(
            f"{path} takes no number below 0, and {below[0]!r} {'is standardised' if standard else 'has some'}",
            where="fit.scale" if standard else "fit.features",
            hint="write `fit: {scale: false}`, and leave out features that are below 0",
        )


def refuse_targets(
    estimator: Any, path: str, outputs: Sequence[str], learns: Callable[[NDArray[np.float64]], bool]
) -> None:
    """Refuse one target for what learns several, and several for what learns one.

    Not every estimator says so: a search and a perceptron deny that they take several. So it is tried, on a few rows
    with invented targets, and refused if it fails on those alone.

    Args:
        estimator: Not fitted.
        path: Its import path.
        outputs: Names of several targets; empty for one.
        learns: Whether it learns such targets of the first rows.

    Raises:
        StudyError: With an estimator that would do.
    """
    tags = _tags(estimator)
    if not outputs:
        if tags is not None and not tags.target_tags.single_output:
            raise StudyError(
                f"{path} learns several targets at once, and the corpus has one",
                where="fit.estimator",
                hint="choose the estimator for one target, such as sklearn.linear_model.Lasso for MultiTaskLasso",
            )
        return
    if tags is not None and tags.target_tags.multi_output:
        return
    invented = 1.0 + np.random.default_rng(0).random((_TRIED, len(outputs)))
    if learns(invented[:, 0]) and not learns(invented):
        raise StudyError(
            f"{path} learns one target, and the corpus has {len(outputs)}: {', '.join(outputs)}",
            where="fit.estimator",
            hint=_HINT % path,
        )


def _tags(estimator: Any) -> Any:
    """What an estimator says of itself; None if it is no class of scikit-learn's kind."""
    from sklearn.utils import get_tags

    try:
        return get_tags(estimator)
    except (AttributeError, TypeError):
        return None
