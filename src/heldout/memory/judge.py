"""``heldout.judge``: predictions in memory, judged, with a record that anybody can verify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from heldout.errors import InputError
from heldout.predicted.columns import check_name, column, columns_of, kept, targets
from heldout.predicted.judge import judge_files
from heldout.predicted.study import LEDGER, Question, refuse_foreign
from heldout.run import Run

_GROUP, _TARGET, _ID, _WEIGHT = "group", "target", "sample_id", "weight"


def judge(
    y: Any,
    predictions: Mapping[str, Any],
    *,
    groups: Any,
    against: str | None = None,
    metrics: Sequence[str] = (),
    rules: str | Path | None = None,
    ids: Any = None,
    weight: Any = None,
    classes: Sequence[Any] | None = None,
    task: str | None = None,
    held_out: str | None = None,
    trained_on: str | Path | None = None,
    ledger: str | Path = LEDGER,
    name: str = "judged",
) -> Run:
    """Judge predictions that exist, on groups that their model never saw.

    The first model is judged; the second, or the one named by ``against``, is the one that it shall replace. What was
    given is written beside the ledger as a Parquet file, for whoever verifies.

    Args:
        y: Truth, ``[rows]``: numbers, or labels. Or several targets, numbers ``[rows, outputs]``, called as the columns
            of a DataFrame, else ``y0``, ``y1``, ...
        predictions: By model: numbers or labels ``[rows]``, the probability of the second of two classes ``[rows]``,
            or probabilities ``[rows, classes]``; of several targets numbers ``[rows, outputs]``. Of several seeds a
            mapping of seed to such an array.
        groups: Of every row: what must never straddle training and test.
        against: The model that it shall replace.
        metrics: Names; the first decides where there are no rules.
        rules: A study file with ``gate.rules``; None: the gain over ``against`` must lie above zero by its interval.
        ids: Of the samples; None: their numbers.
        weight: How much each row counts.
        classes: Labels of the columns of probabilities, the second one that of probabilities ``[rows]``; None: those of
            ``y``, sorted as scikit-learn sorts them.
        task: ``regression`` or ``classification``; None: by the values of ``y``, as in a table.
        held_out: How it is known that the model never saw these groups, in words.
        trained_on: Or the ``corpus.json`` of what it was trained on.
        ledger: Folder of runs, with the record of every look.
        name: Of the study.

    Returns:
        The run: ``verdict``, ``metrics``, ``report``, ``verify()``.

    Raises:
        HeldoutError: With what is wrong, where, and what to do.

    Example:
        >>> import heldout
        >>> run = heldout.judge(y, {"new": p1, "old": p2}, groups=site)  # doctest: +SKIP
        >>> run.verdict  # doctest: +SKIP
        'PROMOTE'
    """
    if (
        not isinstance(predictions, Mapping)
        or not predictions
        or not all(isinstance(each, str) for each in predictions)
    ):
        raise InputError("there are no predictions", where="predictions", hint='write {"new": p1, "old": p2}')
    check_name(name)
    models = list(predictions)
    other = against if against is not None else (models[1] if len(models) > 1 else None)
    truth = targets(y, _TARGET)
    outputs = list(truth) if len(truth) > 1 else []
    columns = {_ID: ids, _GROUP: groups, _WEIGHT: weight}
    role = next((name for name in outputs if name in columns), None)
    if role is not None:
        raise InputError(f"a target cannot be named {role!r}", where="y", hint="give its column another name")
    table = {key: column(value, key) for key, value in columns.items() if value is not None or key == _GROUP}
    table |= truth
    labels = [] if outputs else _labels(truth[_TARGET], classes, task)
    for model, values in predictions.items():
        added = _columns(model, values, labels, outputs)
        twice = next((key for key in added if key in table), None)
        if twice is not None or any(model.startswith((f"{each}_seed", f"{each}_p_")) for each in models):
            what = f"the column {twice or model!r} would be that of two models"
            raise InputError(what, where=f"predictions: {model}", hint="give the model another name")
        table |= added
    lengths = {key: len(value) for key, value in table.items()}
    rows = len(next(iter(truth.values())))
    wrong = next((key for key, length in lengths.items() if length != rows), None)
    if wrong is not None:
        what = f"{wrong!r} has {lengths[wrong]} rows, and there are {rows} targets"
        raise InputError(what, where=wrong, hint="give one value a sample, in the order of `y`")
    folder = Path(ledger)
    refuse_foreign(folder / f"{name}.yaml")
    path = kept(pl.DataFrame(table), folder, name)
    question = Question(
        files=[path],
        group=_GROUP,
        target=outputs or _TARGET,
        prediction=models[0],
        against=other,
        metrics=[metrics] if isinstance(metrics, str) else metrics,
        task=task,
        rules=None if rules is None else Path(rules),
        id=None if ids is None else _ID,
        weight=None if weight is None else _WEIGHT,
        held_out=held_out,
        trained_on=None if trained_on is None else Path(trained_on),
        name=name,
    )
    return judge_files(question, folder)


def _labels(truth: pl.Series, classes: Sequence[Any] | None, task: str | None) -> list[str]:
    """Names of the classes in the order of the columns; empty of numbers."""
    if classes is not None:
        return pl.Series(list(classes)).cast(pl.String).to_list()
    few = truth.dtype.is_integer() and truth.n_unique() <= 20
    if task == "classification" or (task is None and (few or not truth.dtype.is_numeric())):
        return truth.unique().drop_nulls().sort().cast(pl.String).to_list()
    return []


def _columns(model: str, values: Any, labels: Sequence[str], outputs: Sequence[str]) -> dict[str, pl.Series]:
    """The columns of a model's predictions."""
    if model in (_ID, _GROUP, _TARGET, _WEIGHT):
        raise InputError(f"a model cannot be named {model!r}", where="predictions", hint="give it another name")
    return columns_of(model, values, labels, f"predictions: {model}", outputs)
