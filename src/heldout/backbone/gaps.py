"""Whether an estimator takes missing numbers: what it says itself, or what that says to which it hands them on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from heldout.errors import StudyError

_BOOSTERS = ("xgboost", "lightgbm", "catboost")
_FILLERS = ("IterativeImputer", "KNNImputer", "MissingIndicator", "SimpleImputer")
_SEARCHES = ("GridSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV", "RandomizedSearchCV")
_AROUND_ONE = (*_SEARCHES, "CalibratedClassifierCV", "FixedThresholdClassifier", "TunedThresholdClassifierCV")
_AROUND_MANY = ("StackingClassifier", "StackingRegressor", "VotingClassifier", "VotingRegressor")
_ASIDE = ("drop", "passthrough", None)


def refuse_gaps(estimator: Any, name: str, missing: Mapping[str, int], columns: Sequence[str]) -> None:
    """Nothing, if an estimator takes the gaps that there are.

    Args:
        estimator: Not fitted.
        name: Its import path.
        missing: By column, how many of its values are missing.
        columns: Names of all columns, if it is given them by name.

    Raises:
        StudyError: If it does not say that it takes gaps.
    """
    if not missing or takes_gaps(estimator, missing, columns):
        return
    first = next(iter(missing))
    mend = (
        "columns go by name here, so let a sklearn.impute.SimpleImputer stand before what takes no gaps: it is fitted "
        "on the training rows, fold by fold"
        if columns
        else "write `fit: {missing: impute}`: the median of the training rows, fold by fold"
    )
    raise StudyError(
        f"{sum(missing.values())} values are missing, {missing[first]} of them of {first!r}, and {name} does not say "
        "that it takes gaps",
        where="fit.missing",
        hint=f"{mend}; filling the table beforehand would use held-out rows. Or choose an estimator that takes gaps, "
        "such as sklearn.ensemble.HistGradientBoostingRegressor",
    )


def takes_gaps(estimator: Any, gaps: Collection[str] = (), columns: Sequence[str] = ()) -> bool:
    """Whether an estimator says that it fits and predicts rows with missing numbers.

    A pipeline takes them as far as a step that fills them, a search as its estimator does, a vote if all in it do.

    Args:
        estimator: Not fitted.
        gaps: Names of the columns with gaps, where it is given columns by name; else any may have some.
        columns: Names of all columns, in order; of none where it gets a matrix.
    """
    name = type(estimator).__name__
    if not _is_sklearn(estimator):
        return bool(columns) or _says_so(estimator)  # who asks for columns by name answers for what is in them
    if name == "Pipeline":
        return _steps_take(estimator, gaps, columns)
    if name == "ColumnTransformer":
        return all(takes_gaps(part) for part in _given_gaps(estimator, gaps, columns) if part not in _ASIDE)
    if name == "FeatureUnion":
        return all(takes_gaps(part, gaps, columns) for _, part in estimator.transformer_list if part not in _ASIDE)
    if name in _AROUND_ONE:
        return takes_gaps(estimator.estimator, gaps, columns)
    if name == "TransformedTargetRegressor":
        return takes_gaps(estimator.regressor, gaps, columns)
    if name in _AROUND_MANY:
        many = [part for _, part in estimator.estimators if part not in _ASIDE]
        if getattr(estimator, "passthrough", False):
            many.append(estimator.final_estimator)
        return all(takes_gaps(part, gaps, columns) for part in many)
    return _says_so(estimator)


def _steps_take(pipeline: Any, gaps: Collection[str], columns: Sequence[str]) -> bool:
    for _, step in pipeline.steps:
        if not (step in _ASIDE or takes_gaps(step, gaps, columns)):
            return False
        if not _hands_on(step, gaps, columns):
            return True
        if step not in _ASIDE:  # what comes out of it has other columns
            gaps, columns = (), ()
    return True


def _hands_on(step: Any, gaps: Collection[str], columns: Sequence[str]) -> bool:
    """Whether gaps are left in what a step makes of rows with gaps; what others wrote is trusted to leave none."""
    from sklearn.preprocessing import OneHotEncoder, TargetEncoder

    if step in _ASIDE:
        return bool(step != "drop")
    name = type(step).__name__
    if name == "Pipeline":
        return all(_hands_on(each, gaps, columns) for _, each in step.steps)
    if name == "ColumnTransformer":
        return any(_hands_on(part, (), ()) for part in _given_gaps(step, gaps, columns))
    if name == "FeatureUnion":
        return any(_hands_on(part, gaps, columns) for _, part in step.transformer_list)
    return _is_sklearn(step) and name not in _FILLERS and not isinstance(step, OneHotEncoder | TargetEncoder)


def _given_gaps(transformer: Any, gaps: Collection[str], columns: Sequence[str]) -> list[Any]:
    """The parts of a column transformer that are given a column with gaps, or may be."""
    found, left = [], set(gaps)
    for _, part, chosen in transformer.transformers:
        names = _named(chosen, columns)
        if names is None or not columns or set(gaps) & names:
            found.append(part)
        left -= names or set()
    return [*found, transformer.remainder] if left or not columns else found


def _named(chosen: Any, columns: Sequence[str]) -> set[str] | None:
    """The columns that are chosen, by name; None if that is not known yet."""
    chosen = [chosen] if isinstance(chosen, str | int) else chosen
    if not isinstance(chosen, list | tuple) or any(isinstance(each, bool) for each in chosen):
        return None
    try:
        return {each if isinstance(each, str) else columns[each] for each in chosen}
    except (IndexError, TypeError):
        return None


def _is_sklearn(part: Any) -> bool:
    return type(part).__module__.partition(".")[0] == "sklearn"


def _says_so(estimator: Any) -> bool:
    from sklearn.utils import get_tags

    if type(estimator).__module__.partition(".")[0] in _BOOSTERS:
        return True
    try:
        tags = get_tags(estimator)
    except (AttributeError, TypeError):
        return False
    return bool(tags.input_tags.allow_nan or tags.no_validation)
