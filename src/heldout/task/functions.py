"""Metrics that a study declares: any function of truth and prediction, such as those of ``sklearn.metrics``.

A function is called as ``function(truth, said, **params)``, with ``sample_weight`` if rows have weights, and answers
one number. ``said`` is what the metric needs: a value; the predicted label (then both sides are labels); or, with
``needs: probability``, the probability of the second of two classes, in the order of their names, against a truth of 0
and 1 (of more classes all probabilities, ``[rows, classes]``, against class numbers).
"""

from __future__ import annotations

import inspect
import math
import warnings
from importlib import import_module
from typing import Any

import numpy as np

from heldout.errors import HeldoutError, InputError, PrerequisiteError, StudyError
from heldout.plugins import refuse_uninstalled
from heldout.study import MetricSpec
from heldout.task.metric import Kind, Metric, Rows, ordinary_reason


def declared_metric(spec: MetricSpec, task: Kind | None = None) -> Metric:
    """The metric that a study declares.

    Args:
        spec: Name, function and direction.
        task: Kind of target, for what is predicted by default: a value, or a label; None asks nothing of it.

    Raises:
        HeldoutError: If there is no such function, or code that may not run here brings it.
    """
    assert spec.function is not None and spec.better is not None  # noqa: PT018
    function = import_function(spec.function)
    _check_arguments(spec, function)
    needs = spec.needs or ("label" if task == "classification" else "value")
    low, high = spec.range or (None, None)
    asked = _Asked(spec, function, needs)
    return Metric(
        name=spec.name,
        label=spec.label or spec.name.replace("_", " "),
        better=spec.better,
        range=(-math.inf if low is None else low, math.inf if high is None else high),
        needs=needs,
        compute=asked.value,
        unit=spec.unit,
        undefined=asked.why,
    )


def import_function(path: str) -> Any:
    """The function of ``module:name`` or ``module.name``.

    Raises:
        HeldoutError: If there is none, or its code is not installed and nobody trusts it.
    """
    module, _, name = path.rpartition(":" if ":" in path else ".")
    refuse_uninstalled(module)
    try:
        found = getattr(import_module(module), name)
    except AttributeError:
        raise StudyError(
            f"there is no function {path!r}", where="metrics", hint="write module:function, such as mine:gini"
        ) from None
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # noqa: BLE001 - one that calls `exit` as it is imported, too
        raise PrerequisiteError(
            f"cannot import {path!r}: {type(error).__name__}: {error}",
            where="metrics",
            hint="install its package, or put the folder of your own module on PYTHONPATH",
        ) from None
    if not callable(found):
        raise StudyError(f"{path!r} is no function", where="metrics", hint="it is called with truth and prediction")
    return found


def _check_arguments(spec: MetricSpec, function: Any) -> None:
    """Refuse arguments that the function has not, before anything is fitted."""
    try:
        inspect.signature(function).bind(None, None, **spec.params)
    except TypeError as error:
        raise StudyError(
            f"metric {spec.name!r}: {spec.function} cannot be called so: {error}",
            where="metrics",
            hint="it is called with truth, prediction and `params`",
        ) from None
    except ValueError:
        return  # a function of another language says nothing of its arguments


class _Asked:
    """A declared function as a metric asks it; the last reason why it gave no number."""

    def __init__(self, spec: MetricSpec, function: Any, needs: str) -> None:
        self._spec, self._function, self._needs = spec, function, needs

    def value(self, rows: Rows) -> float:
        return self._answer(rows)[0]

    def why(self, rows: Rows) -> str | None:
        return self._answer(rows)[1] if rows.finite else None

    def _answer(self, rows: Rows) -> tuple[float, str | None]:
        """The number, or NaN with the reason: a function may refuse rows, such as those of one class."""
        truth, said = (side.copy() for side in self._sides(rows))  # a function that sorts in place harms no other
        weight = {} if rows.weight is None else {"sample_weight": rows.weight}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = float(self._function(truth, said, **weight, **self._spec.params))
        except (ValueError, ZeroDivisionError) as error:
            return math.nan, f"{self._spec.function} says: {str(error).splitlines()[0] if str(error) else 'no value'}"
        except HeldoutError:
            raise
        except Exception as error:
            raise InputError(
                f"metric {self._spec.name!r}: {self._spec.function} failed: {type(error).__name__}: {error}",
                where=f"metrics, {len(rows)} rows",
                hint="correct the function; run the study again, no fit is lost",
            ) from error
        low, high = self._spec.range or (None, None)
        if math.isfinite(found) and ((low is not None and found < low) or (high is not None and found > high)):
            raise InputError(
                f"metric {self._spec.name!r} is {found:g}, outside of its declared range {self._spec.range}",
                where="metrics",
                hint="correct `range`, or the function",
            )
        return found, None if math.isfinite(found) else ordinary_reason(rows, self._spec.name)

    def _sides(self, rows: Rows) -> tuple[Any, Any]:
        if not rows.classes:
            return rows.truth, rows.said
        if self._needs == "label":
            names = np.array(rows.classes)
            return names[rows.truth], names[rows.label]
        return rows.truth, rows.said[:, 1] if len(rows.classes) == 2 else rows.said


def function_module(path: str) -> str:
    """The module that holds a declared function, for the digest of its code."""
    return path.rpartition(":" if ":" in path else ".")[0]
