"""Metrics that a study declares: any function of truth and prediction, such as those of ``sklearn.metrics``.

A function is called as ``function(truth, said, **params)``, with ``sample_weight`` if rows have weights, and answers
one number. ``said`` is what the metric needs: a value; the predicted label (then both sides are labels); or, with
``needs: probability``, the probability of the second of two classes, in the order of their names, against a truth of 0
and 1 (of more classes all probabilities, ``[rows, classes]``, against class numbers).
"""

from __future__ import annotations

import contextlib
import inspect
import io
import math
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from heldout.corpus import TargetKind
from heldout.errors import HeldoutError, InputError, PrerequisiteError, StudyError
from heldout.plugins import refuse_uninstalled, refuse_untrusted
from heldout.study import MetricSpec
from heldout.task.metric import Metric, Needs, Rows, ordinary_reason

_SCORES = ("_score", "_loss", "_error", "_coef", "_corrcoef")
_SAYS = "says:"
_ROUNDING = 1e-9
_WEIGHT = "sample_weight"


def declared_metric(spec: MetricSpec, task: TargetKind | None = None) -> Metric:
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

    def compute(rows: Rows) -> float:
        truth, said = _sides(rows, needs)
        weight = {} if rows.weight is None else {_WEIGHT: rows.weight.copy()}
        return float(function(truth, said, **weight, **spec.params))

    low, high = spec.range or (None, None)
    metric = Metric(
        name=spec.name,
        label=spec.label or spec.name.replace("_", " "),
        better=spec.better,
        range=(-math.inf if low is None else low, math.inf if high is None else high),
        needs=needs,
        compute=compute,
        unit=spec.unit,
        guess=spec.guess,
    )
    return brought(metric, spec.function)


def brought(metric: Metric, place: str) -> Metric:
    """A metric of somebody else's code, so that nothing that it does to its rows, or raises, reaches any other number.

    Args:
        metric: As declared, or as a plug-in offers it.
        place: Where its code is, for messages.
    """
    guarded = _Guarded(metric, place)
    return replace(metric, compute=guarded.value, undefined=guarded.why, brought=True, aliases=())


def check_steady(metric: Metric, rows: Rows) -> None:
    """Ask a brought metric twice of all rows, before the look is counted.

    Raises:
        InputError: If it answers differently, or refuses them as no rows of this kind should be refused.
    """
    if not metric.brought or not rows.finite or not len(rows.counted):
        return
    first, second = metric.score(rows), metric.score(rows)
    if first != second and not (math.isnan(first) and math.isnan(second)):
        raise InputError(
            f"metric {metric.name!r} answers {first:g} and then {second:g} of the same rows",
            where="metrics",
            hint="let it depend on truth and prediction alone: seed what is drawn in it",
        )
    why = metric.why(rows) if math.isnan(first) else ""
    if _SAYS in why:
        raise InputError(
            f"metric {metric.name!r} refuses all rows together: {why}",
            where="metrics",
            hint="correct the function, or what it `needs`; run the study again, no fit is lost",
        )


def check_weighing(spec: MetricSpec, where: str, *, weighted: bool) -> None:
    """Refuse a function that cannot count the rows of a corpus, before anything is fitted.

    Args:
        spec: Name, function and arguments.
        where: Its place, for messages.
        weighted: Whether rows have weights.

    Raises:
        StudyError: If rows have weights and it names no ``sample_weight`` (what ``**kwargs`` do with one nobody sees),
            or they have none and it needs some, or the study gives some itself.
    """
    assert spec.function is not None
    who = f"metric {spec.name!r}: {spec.function}"
    if _WEIGHT in spec.params:
        raise StudyError(
            f"metric {spec.name!r}: `{_WEIGHT}` stands among its params, and heldout gives it where rows have weights",
            where=where,
            hint=f"take `{_WEIGHT}` out of `params`; weights are a column of the table, named as `corpus.weight`",
        )
    try:
        signature = inspect.signature(import_function(spec.function))
    except ValueError:
        return  # a function of another language says nothing of its arguments
    if weighted and not (_names_weight(signature) and _takes(signature, spec.params | {_WEIGHT: None})):
        raise StudyError(
            f"{who} takes no `{_WEIGHT}`, and the rows of the corpus have weights",
            where=where,
            hint="give the function an argument of that name, or leave `corpus.weight` or the metric out",
        )
    if not weighted and not _takes(signature, spec.params):
        raise StudyError(
            f"{who} needs a `{_WEIGHT}`, and the rows of the corpus have no weights",
            where=where,
            hint=f"name a column as `corpus.weight`, or let the function do without: `{_WEIGHT}=None`",
        )


def _names_weight(signature: inspect.Signature) -> bool:
    found = signature.parameters.get(_WEIGHT)
    return found is not None and found.kind in (found.POSITIONAL_OR_KEYWORD, found.KEYWORD_ONLY)


def _takes(signature: inspect.Signature, params: Mapping[str, Any]) -> bool:
    """Whether a function can be called with truth, prediction and these arguments."""
    try:
        signature.bind(None, None, **params)
    except TypeError:
        return False
    return True


def import_function(path: str) -> Any:
    """The function of ``module:name`` or ``module.name``.

    Raises:
        HeldoutError: If there is none, or nobody here trusts its code. Of a document of somebody else only the scores
            of scikit-learn are called: any other installed function might do anything with what it is given.
    """
    module, _, name = path.rpartition(":" if ":" in path else ".")
    if module.partition(".")[0] in sys.stdlib_module_names:
        raise StudyError(
            f"{module!r} is the name of a module of Python itself",
            where="metrics",
            hint="give your module another name",
        )
    if not (module == "sklearn.metrics" and name.endswith(_SCORES)):
        refuse_untrusted(path)
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
    """Refuse arguments that the function has not, before anything is fitted; it may need weights."""
    try:
        signature = inspect.signature(function)
        weight = {_WEIGHT: None} if _names_weight(signature) else {}
        signature.bind(None, None, **(weight | spec.params))
    except TypeError as error:
        raise StudyError(
            f"metric {spec.name!r}: {spec.function} cannot be called so: {error}",
            where="metrics",
            hint="it is called with truth, prediction and `params`",
        ) from None
    except ValueError:
        return  # a function of another language says nothing of its arguments


class _Guarded:
    """Somebody else's metric as it is asked here."""

    def __init__(self, metric: Metric, place: str) -> None:
        self._metric, self._place = metric, place

    def value(self, rows: Rows) -> float:
        return self._answer(rows)[0]

    def why(self, rows: Rows) -> str | None:
        return self._answer(rows)[1] if rows.finite else None

    def _answer(self, rows: Rows) -> tuple[float, str | None]:
        """The number, or NaN with the reason: a function may refuse rows, such as those of one class."""
        name = self._metric.name
        weight = None if rows.weight is None else rows.weight.copy()
        own = Rows(rows.truth.copy(), rows.said.copy(), rows.classes, weight)  # what sorts in place harms no other
        try:
            with _quietly():
                found = float(self._metric.compute(own))
        except (ValueError, ZeroDivisionError) as error:
            return math.nan, f"{self._place} {_SAYS} {str(error).splitlines()[0] if str(error) else 'no value'}"
        except (KeyboardInterrupt, MemoryError, HeldoutError):
            raise
        except BaseException as error:  # one that calls `exit`, too
            raise InputError(
                f"metric {name!r}: {self._place} failed: {type(error).__name__}: {error}",
                where=f"metrics, {len(rows)} rows",
                hint="correct the function; run the study again, no fit is lost",
            ) from error
        if not math.isfinite(found):
            own_reason = self._metric.undefined(own) if self._metric.undefined is not None else None
            return math.nan, own_reason or ordinary_reason(rows, name)
        low, high = self._metric.range
        slack = _ROUNDING * max(1.0, abs(found))
        if not low - slack <= found <= high + slack:
            raise InputError(
                f"metric {name!r} is {found!r}, outside of its range from {low:g} to {high:g}",
                where="metrics",
                hint="correct `range`, or the function",
            )
        return min(max(found, low), high), None


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """What somebody else's function prints, warns of, or does to the working folder stays inside."""
    here = Path.cwd()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        if Path.cwd() != here:
            os.chdir(here)


def _sides(rows: Rows, needs: Needs) -> tuple[Any, Any]:
    if not rows.classes:
        return rows.truth, rows.said
    if needs == "label":
        names = np.array(rows.classes)
        return names[rows.truth], names[rows.label]
    return rows.truth, rows.said[:, 1] if len(rows.classes) == 2 else rows.said


def function_module(path: str) -> str:
    """The module that holds a declared function, for the digest of its code."""
    return path.rpartition(":" if ":" in path else ".")[0]
