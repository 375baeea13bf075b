"""The metrics that there are, by name: built-in ones, those of plug-ins, and those that a study declares.

A name may carry a parameter after ``@``: ``recall@fraud``, ``pinball@0.9``, ``top_k_accuracy@3``. Where a study has
several targets, the name of one stands last: ``rmse@height``, ``pinball@0.9@height``; without it a metric is the mean
over all of them, as scikit-learn's ``uniform_average``, and a bias that of the worst. A metric that cannot be computed
is NaN here and ``null``, with the reason, on disk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from heldout import plugins
from heldout.corpus import TargetKind
from heldout.errors import StudyError, near_miss
from heldout.task.classification import (
    CLASSIFICATION,
    CLASSIFICATION_BEFORE,
    MORE_OF_CLASSES,
    OF_A_CLASS,
    calibration_error,
    of_class,
    top_k,
)
from heldout.task.functions import brought
from heldout.task.metric import SHARE, SIZE, Better, Metric, Needs, Rows
from heldout.task.regression import MORE_OF_VALUES, REGRESSION, pinball

DEFAULTS: dict[TargetKind, tuple[Metric, ...]] = {"regression": REGRESSION, "classification": CLASSIFICATION}
OLDER: dict[TargetKind, tuple[Metric, ...]] = {"regression": REGRESSION, "classification": CLASSIFICATION_BEFORE}
Declared = Mapping[str, Metric]
# Keys that stand beside metrics in a block of the document.
RESERVED = frozenset({"rows", "n_train", "cells", "undefined_cells"})


def _of_no_rows(_: Rows) -> float:
    return math.nan


# What a rule may ask besides the metrics of rows: how often an interval holds, and what a model costs.
OF_MODELS = (
    Metric("coverage", "coverage", "higher", SHARE, "value", _of_no_rows),
    Metric("model_bytes", "model size", "lower", (1.0, math.inf), "model", _of_no_rows, unit="bytes"),
    Metric("latency_us", "latency", "lower", SIZE, "model", _of_no_rows, unit="µs"),
)


class Family(NamedTuple):
    """Metrics that differ by a parameter.

    Attributes:
        task: Of what they are.
        parameter: What stands after the ``@``, in words.
        make: The metric of a parameter; raises ValueError where it is none.
        example: A name.
    """

    task: TargetKind
    parameter: str
    make: Callable[[str], Metric]
    example: str


FAMILIES = {
    "pinball": Family("regression", "a quantile between 0 and 1", pinball, "pinball@0.9"),
    "top_k_accuracy": Family("classification", "a number of classes", top_k, "top_k_accuracy@3"),
    "expected_calibration_error": Family(
        "classification", "a number of bins", calibration_error, "expected_calibration_error@10"
    ),
} | {
    family: Family("classification", "the name of a class", partial(of_class, family), f"{family}@CLASS")
    for family in OF_A_CLASS
}
_FAMILY_ALIASES = {"ece": "expected_calibration_error"}
BUILT_IN = {each.name: each for each in (*REGRESSION, *MORE_OF_VALUES, *CLASSIFICATION, *MORE_OF_CLASSES, *OF_MODELS)}
_NAMED = BUILT_IN | {alias: each for each in BUILT_IN.values() for alias in each.aliases}


def task_of(metric: Metric) -> TargetKind:
    """The kind of target that a metric is of."""
    return "regression" if metric.needs in ("value", "model") else "classification"


def named(name: str, declared: Declared | None = None) -> Metric | None:
    """The metric of this name or alias; None where there is none.

    Args:
        name: As a rule writes it.
        declared: What the study declares, by name.

    Raises:
        StudyError: If the parameter after the ``@`` is none.
    """
    found = (declared or {}).get(name) or _NAMED.get(name)
    if found is not None:
        return found
    if "@" in name:
        return _of_family(name, declared)
    return _of_plugin(name) if name in plugins.names("metrics") else None


def _of_output(metric: Metric | None, output: str) -> Metric | None:
    """A metric of one of several targets; None of what says nothing of one."""
    if metric is None or metric.needs != "value" or metric in OF_MODELS or not output:
        return None
    label = f"{metric.label} of {output}"
    return replace(metric, name=f"{metric.name}@{output}", label=label, aliases=(), output=output)


def _of_family(name: str, declared: Declared | None) -> Metric | None:
    family, _, parameter = name.partition("@")
    known = FAMILIES.get(_FAMILY_ALIASES.get(family, family))
    if known is None:
        return _of_output(named(family, declared), parameter)
    if known.task == "regression" and "@" in parameter:
        number, _, output = parameter.partition("@")
        return _of_output(_of_family(f"{family}@{number}", declared), output)
    try:
        if not parameter:
            raise ValueError("nothing stands there")
        return known.make(parameter)
    except ValueError as error:
        raise StudyError(
            f"metric {name!r}: after the @ stands {known.parameter}, not {parameter!r}",
            where=name,
            hint=f"write for example {known.example} ({error})",
        ) from None


def _of_plugin(name: str) -> Metric:
    found = plugins.load("metrics", name)
    if not isinstance(found, Metric) or found.name != name or name in RESERVED:
        raise StudyError(
            f"the plug-in {name!r} is no metric of that name", where=name, hint="offer a `heldout.task.Metric`"
        )
    if (
        found.better not in get_args(Better)
        or found.needs not in get_args(Needs)
        or not found.range[0] < found.range[1]
    ):
        raise StudyError(
            f"the plug-in {name!r} says no direction, need or range that there is",
            where=name,
            hint=f"better: {', '.join(get_args(Better))}; needs: {', '.join(get_args(Needs))}; range: least, largest",
        )
    return brought(found, plugins.module_of("metrics", name))


def known_names(task: TargetKind, declared: Declared | None = None) -> list[str]:
    """Every name that a rule of such a study may write, aliases and examples of families included."""
    own = [each for each in (*BUILT_IN.values(), *(declared or {}).values()) if usable(each, task)]
    families = [family.example for family in FAMILIES.values() if family.task == task]
    return [*(each.name for each in own), *(alias for each in own for alias in each.aliases), *families]


def usable(metric: Metric, task: TargetKind) -> bool:
    """Whether a metric says something of a kind of target."""
    return metric.needs == "model" or task_of(metric) == task


def table_of(
    task: TargetKind,
    asked: Iterable[str] = (),
    declared: Declared | None = None,
    ordinary: Sequence[Metric] | None = None,
) -> tuple[Metric, ...]:
    """The metrics that are computed of every contender: the ordinary ones, then those that are asked for.

    Args:
        task: Kind of target.
        asked: Names of others, such as those of rules.
        declared: What the study declares, by name; all of it is computed.
        ordinary: Those of the study's task; None: those of the kind of target.

    Raises:
        StudyError: If there is none of that name, or it is of another kind of target.
    """
    found = {each.name: each for each in (DEFAULTS[task] if ordinary is None else ordinary)}
    found |= {each.name: each for each in (declared or {}).values()}
    for name in asked:
        metric = named(name, declared)
        if metric is None or not usable(metric, task):
            hint = near_miss(name, known_names(task, declared))
            raise StudyError(f"unknown metric {name!r} for a {task} study", where=name, hint=hint)
        if metric not in OF_MODELS:
            found[metric.name] = replace(metric, shown=True)  # what a rule judges stands in the tables
    return tuple(found.values())


def rows_of(
    target: NDArray[Any],
    said: NDArray[np.float64],
    classes: Sequence[str] = (),
    weight: NDArray[Any] | None = None,
    outputs: Sequence[str] = (),
) -> Rows:
    """Rows with classes as numbers.

    Args:
        target: float64 ``[rows]``, or of several targets ``[rows, outputs]``; or str, each in ``classes``.
        said: Values, of the same shape, or probabilities ``[rows, classes]``.
        classes: Names of the columns; empty for regression.
        weight: How much each row counts.
        outputs: Names of several targets.
    """
    truth = label_codes(target, tuple(classes)) if classes else np.asarray(target, dtype=np.float64)
    return Rows(truth, said, tuple(classes), weight, tuple(outputs))


def regression(target: NDArray[np.float64], prediction: NDArray[np.float64]) -> dict[str, float]:
    """The ordinary metrics of predicted numbers, by name."""
    rows = rows_of(target, prediction)
    return {each.name: each.score(rows) for each in REGRESSION}


def label_codes(labels: NDArray[Any], classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Column number of each label."""
    index = {name: code for code, name in enumerate(classes)}
    return np.array([index[label] for label in labels.tolist()], dtype=np.int64)


def worst(metric: Metric, by_group: Mapping[str, float]) -> tuple[str, float]:
    """The group whose value is worst; an undefined one is worse than any number. Ties go to the first name."""
    chosen = None
    for group, value in sorted(by_group.items()):
        if np.isnan(value):
            return group, value
        if chosen is None or metric.is_better(by_group[chosen], value):
            chosen = group
    assert chosen is not None
    return chosen, by_group[chosen]
