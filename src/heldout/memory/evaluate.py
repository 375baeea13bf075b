"""``heldout.evaluate``: an estimator and a table in memory, judged on groups that no fit saw."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.api import Study
from heldout.backbone.sklearn import SklearnBackbone, SklearnParams
from heldout.corpus import TargetKind
from heldout.errors import InputError
from heldout.memory.estimators import said
from heldout.predicted.columns import check_name, column, kept, targets
from heldout.predicted.study import (
    LEDGER,
    check_task,
    gain_rules,
    metric_of,
    refuse_foreign,
    target_of,
    told_rules,
    write_down,
)
from heldout.run import Run
from heldout.study.spec import AS_GIVEN

_ONE_OUT, _FOLDS = 10, 10
_TARGET = "target"
_ROLES = {"group": "groups", "sample_id": "ids", "weight": "weight"}  # and what they are given as


def evaluate(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    groups: Any,
    against: Any = None,
    metrics: str | Sequence[str] = (),
    rules: str | Path | None = None,
    split: Mapping[str, Any] | None = None,
    seeds: Sequence[int] | Literal["as_given"] = (0,),
    ids: Any = None,
    weight: Any = None,
    task: str | None = None,
    workers: int | None = None,
    ledger: str | Path = LEDGER,
    name: str = "evaluated",
) -> Run:
    """Fit an estimator on some groups, ask it about the others, and judge what it answers.

    Table and study are written beside the ledger, so that the verdict can be repeated and verified by others.

    Args:
        estimator: Of scikit-learn's kind, fitted or not: it is built anew for every fold, in the same way. Or its
            import path.
        X: Features: a DataFrame of pandas, polars or Arrow, or an array ``[rows, columns]``.
        y: Truth, ``[rows]``: numbers, or labels. Or several targets, numbers ``[rows, outputs]``: each is judged, and
            all together; they are called as the columns of a DataFrame, else ``y0``, ``y1``, ...
        groups: Of every row: what must never straddle training and test.
        against: The estimator that it shall replace; None: only whoever knows nothing (mean, majority, chance).
        metrics: Names; the first decides where there are no rules.
        rules: A study file with ``gate.rules``; None: the gain over ``against``, and over whoever knows nothing, must
            lie above zero by its interval. The contender is called ``old`` there.
        split: As in a study, such as ``{"kind": "group-k-fold", "folds": 5}``; None: each group is held out once, by
            itself up to ten of them.
        seeds: Each sets every ``random_state``, in each fold to another number; what is judged is the mean of their
            predictions. ``as_given``: one fit a fold, with every ``random_state`` as it is.
        ids: Of the samples; None: their numbers.
        weight: How much each row counts, in fits and metrics.
        task: ``regression`` or ``classification``; None: by the values of ``y``, as in a table.
        workers: Processes; None: one a processor, where the fits are worth it.
        ledger: Folder of runs, with the record of every look.
        name: Of the study.

    Returns:
        The run: ``verdict``, ``metrics``, ``folds``, ``predictions``, ``plot()``, ``verify()``.

    Raises:
        HeldoutError: With what is wrong, where, and what to do.

    Example:
        >>> import heldout
        >>> from sklearn.linear_model import Ridge
        >>> run = heldout.evaluate(Ridge(alpha=3.0), X, y, groups=patient, metrics=["rmse"])  # doctest: +SKIP
        >>> run.verdict  # doctest: +SKIP
        'PROMOTE'
    """
    check_name(name)
    check_task(task, "task")
    drawn = _seeds(seeds)
    _check_split(split)
    own = drawn == AS_GIVEN
    fit = said(estimator, "estimator", seeds=own)
    other = None if against is None else said(against, "against", seeds=own)
    features = _features(X)
    truth = targets(y, _TARGET)
    outputs = list(truth) if len(truth) > 1 else []
    _check_apart(outputs, features)
    roles = _free([*_ROLES, *([] if outputs else [_TARGET])], [*features, *outputs])
    wanted = outputs or [roles[_TARGET]]
    columns = dict(zip(_ROLES, (groups, ids, weight), strict=True))
    given = {key: column(columns[key], _ROLES[key]) for key in _ROLES if columns[key] is not None or key == "group"}
    table = features | {roles[key]: values for key, values in given.items()}
    table |= dict(zip(wanted, truth.values(), strict=True))
    _check_lengths(table, len(table[wanted[0]]), roles)
    folder = Path(ledger)
    refuse_foreign(folder / f"{name}.yaml")
    path = kept(pl.DataFrame(table), folder, name)
    kind, classes = target_of(pl.DataFrame(table).select(wanted), path, roles["group"], task)
    fits = [fit] if other is None else [fit, other]
    asked = [metrics] if isinstance(metrics, str) else list(metrics or ())
    listed = [metric_of(each, kind, "metrics") for each in asked] or [metric_of(_ordinary(kind, fits), kind)]
    told = told_rules(None if rules is None else Path(rules))
    study = {
        "study": name,
        "description": f"{fit['estimator']}" + (f", against {other['estimator']}" if other else ""),
        "corpus": {"reader": "table", "path": path.name, "features": list(features), "task": kind}
        | {"target": outputs or wanted[0]}
        | {key.removeprefix("sample_"): roles[key] for key in given},
        "split": dict(split) if split is not None else _split(given["group"].n_unique()),
        "backbone": "sklearn",
        "fit": fit | {"scale": False},
        "seeds": drawn,
        "baselines": [_baseline(other)] if other is not None else [],
        "gate": {"rules": gain_rules(listed[0], {"better": "old"} if other else {}, classes, outputs)},
    } | told  # fmt: skip
    study["metrics"] = list(dict.fromkeys([*told.get("metrics", []), *(metric.name for metric in listed)]))
    return Study.load(write_down(study, folder)).run(runs=folder, workers=workers)


def _check_split(split: object) -> None:
    if split is not None and not isinstance(split, Mapping):
        hint = 'write it as in a study: {"kind": "group-k-fold", "folds": 5}'
        raise InputError(f"the split is {type(split).__name__}, and no mapping", where="split", hint=hint)


def _seeds(seeds: Any) -> list[int] | str:
    """Plain numbers, or that they are as given.

    Raises:
        InputError: If they are none.
    """
    if isinstance(seeds, str) and seeds == AS_GIVEN:
        return AS_GIVEN
    try:
        found = [int(each) for each in seeds]
        if found != list(seeds):
            raise ValueError
    except (TypeError, ValueError):
        hint = "write [0, 1], or as_given"
        raise InputError(f"seeds are no list of whole numbers: {seeds!r}", where="seeds", hint=hint) from None
    return found


def _baseline(other: Mapping[str, Any]) -> dict[str, Any]:
    description = f"the one that it shall replace: {other['estimator']}"
    return {"id": "old", "description": description, "backbone": "sklearn", "fit": {**other, "scale": False}}


def _features(X: Any) -> dict[str, pl.Series]:
    """Columns by name.

    Raises:
        InputError: If it is no table.
    """
    if hasattr(X, "toarray"):
        raise InputError("X is a sparse matrix", where="X", hint="give a DataFrame, or an array of numbers")
    if isinstance(X, pl.LazyFrame):
        X = X.collect()
    if hasattr(X, "__arrow_c_stream__") and not hasattr(X, "iloc"):
        X = pl.DataFrame(X)
    if hasattr(X, "columns"):
        names = [str(each) for each in X.columns]
        _check_names(names)
        found = {label: column(X[each], f"X: {label}") for label, each in zip(names, X.columns, strict=True)}
    else:
        array = _array(X)
        names = [f"x{number}" for number in range(array.shape[1])]
        _check_names(names)
        found = {label: column(array[:, number], f"X: {label}") for number, label in enumerate(names)}
    return found


def _check_names(names: Sequence[str]) -> None:
    twice = next((label for label in names if names.count(label) > 1), None)
    if not names or twice is not None:
        what = "X has no columns" if twice is None else f"X has two columns {twice!r}"
        raise InputError(what, where="X", hint="give each feature a column with a name of its own")


def _array(X: Any) -> NDArray[Any]:
    try:
        found = np.ma.asanyarray(X) if isinstance(X, np.ma.MaskedArray) else np.asarray(X)
    except ValueError as error:  # rows of several lengths
        raise InputError(f"X is no table: {error}", where="X", hint="give one row a sample") from None
    if found.ndim != 2:
        raise InputError(f"X has {found.ndim} dimensions", where="X", hint="give one row a sample")
    return found


def _check_apart(outputs: Iterable[str], features: Mapping[str, Any]) -> None:
    """Refuse a target that is a feature: what is predicted would be known."""
    both = next((name for name in outputs if name in features), None)
    if both is not None:
        hint = "take it out of X, or rename the column of y"
        raise InputError(f"{both!r} is a column of X and of y", where=f"X: {both}", hint=hint)


def _free(wanted: Iterable[str], taken: Container[str]) -> dict[str, str]:
    """Names for these columns that no feature has."""
    found = {}
    for each in wanted:
        found[each] = each
        while found[each] in taken:
            found[each] += "_"
    return found


def _check_lengths(table: Mapping[str, pl.Series], rows: int, roles: Mapping[str, str]) -> None:
    wrong = next((key for key, values in table.items() if len(values) != rows), None)
    if wrong is not None:
        given = {own: _ROLES.get(key, "y") for key, own in roles.items()}.get(wrong, "X")
        what = f"{given} has {len(table[wrong])} rows, and there are {rows} targets"
        raise InputError(what, where=given, hint="give one value a sample, in the order of `y`")


def _ordinary(kind: TargetKind, fits: Iterable[Mapping[str, Any]]) -> str:
    """A metric that is defined of any group, whichever labels it has, and of what every estimator says."""
    if kind == "regression":
        return "rmse"
    found = [SklearnBackbone(SklearnParams.model_validate(fit)).probabilities for fit in fits]
    return "log_loss" if all(found) else "accuracy"


def _split(groups: int) -> dict[str, Any]:
    return {"kind": "leave-one-group-out"} if groups <= _ONE_OUT else {"kind": "group-k-fold", "folds": _FOLDS}
