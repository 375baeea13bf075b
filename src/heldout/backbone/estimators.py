"""An estimator class by its import path: found or explained, asked what it is, and checked before compute is spent.

Much that calls itself an estimator is less than scikit-learn's own: XGBoost and LightGBM declare no limits of their
arguments, and a user's class may have ``fit`` and ``predict`` and nothing else.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from typing import Any, Literal

from heldout.errors import PrerequisiteError, StudyError
from heldout.plugins import refuse_uninstalled

Kind = Literal["classifier", "regressor"]


_KNOWN = {"sklearn": "scikit-learn", "xgboost": "xgboost", "lightgbm": "lightgbm", "catboost": "catboost"}


@functools.cache
def is_known(module: str) -> bool:
    """Whether a module is of scikit-learn, XGBoost, LightGBM or CatBoost as installed, not a namesake; nothing runs."""
    top = module.partition(".")[0]
    if top not in _KNOWN:
        return False
    found = PathFinder.find_spec(top)
    if found is None or found.origin is None:
        return True  # not installed at all: nothing that could run
    try:
        names: Sequence[str] = (distribution(_KNOWN[top]).name,)
    except PackageNotFoundError:  # such as xgboost-cpu
        names = distributions_of(top)
    places = [distribution(name).locate_file(top) for name in names]
    return any(Path(found.origin).resolve().is_relative_to(Path(str(place)).resolve()) for place in places)


def exists(module: str) -> bool:
    """Whether there is such a top-level module; nothing runs."""
    top = module.partition(".")[0]
    finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
    try:
        return bool(top) and any(find(top, None, None) is not None for find in finders if find is not None)
    except (ImportError, ValueError):
        return False


def kind_of(estimator: Any) -> Kind | None:
    """What an estimator says that it is; None if it says nothing."""
    said = getattr(estimator, "_estimator_type", None)
    if said is None:
        from sklearn.utils import get_tags

        try:
            said = get_tags(estimator).estimator_type
        except (AttributeError, TypeError):  # no class of scikit-learn among its ancestors
            said = "classifier" if hasattr(estimator, "predict_proba") else None
    kinds: dict[Any, Kind] = {"classifier": "classifier", "regressor": "regressor"}
    return kinds.get(said)


def check_values(path: str, estimator: Any, where: str = "fit.params") -> None:
    """Ask an estimator of scikit-learn whether it can work with its values; it would say so in `fit`, much later.

    Raises:
        StudyError: If it cannot.
    """
    if not hasattr(estimator, "_parameter_constraints") or not hasattr(estimator, "_validate_params"):
        return
    try:
        estimator._validate_params()  # noqa: SLF001 - there is no public way
    except ValueError as error:
        raise StudyError(f"{path} does not take this value: {error}", where=where, hint="correct that value") from None


def arguments_of(path: str) -> dict[str, object]:
    """Names of an estimator's arguments with their defaults.

    Raises:
        HeldoutError: If there is no such estimator.
    """
    cls = import_component(path)
    try:
        found = dict(inspect.signature(cls).parameters)
    except (TypeError, ValueError):  # a class written in C says nothing
        return {}
    if any(each.kind is each.VAR_KEYWORD for each in found.values()) and hasattr(cls, "get_params"):
        for base in cls.__mro__[1:-1]:  # XGBoost's hand on what their bases take
            found = {**inspect.signature(base).parameters, **found}
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {name: each.default for name, each in found.items() if each.kind not in kinds}


def takes_seed(estimator: str) -> bool:
    """Whether an estimator has a ``random_state``; without one, any seed gives the same model.

    Raises:
        HeldoutError: If there is no such estimator.
    """
    return "random_state" in arguments_of(estimator)


@functools.cache
def distributions_of(module: str) -> tuple[str, ...]:
    """Distributions that bring a top-level module."""
    return tuple(packages_distributions().get(module, ()))


def import_estimator(path: str) -> Any:
    """The class.

    Raises:
        HeldoutError: If there is none, or it is no estimator; with the one that was likely meant.
    """
    found = import_component(path)
    if not _is_estimator(found):
        raise StudyError(
            f"{path!r} is not an estimator class",
            where="fit.estimator",
            hint=_near(path) + "it needs `fit` and `predict`",
        )
    return found


def import_component(path: str, where: str = "fit.estimator") -> Any:
    """The class of an estimator or of a part of one: a step, a splitter, a kernel.

    Raises:
        HeldoutError: If there is none, or it is nothing that an estimator is made of.
    """
    refuse_uninstalled(path)
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except ImportError as error:
        raise PrerequisiteError(
            f"cannot import {path!r}: {error}",
            where=where,
            hint=_near(path)
            + "install its package (`pip install 'heldout[sklearn]'` for scikit-learn) or correct the path",
        ) from None
    except (AttributeError, TypeError, ValueError):
        raise StudyError(
            f"there is no estimator {path!r}",
            where=where,
            hint=_near(path) + "write the full import path, such as sklearn.linear_model.Ridge",
        ) from None
    if not inspect.isclass(found) or not any(hasattr(found, name) for name in ("fit", "split", "get_params")):
        raise StudyError(
            f"{path!r} is not an estimator class",
            where=where,
            hint=_near(path) + "a part of an estimator is a class with `fit`, `split` or `get_params`",
        )
    return found


def _is_estimator(found: object) -> bool:
    return inspect.isclass(found) and hasattr(found, "fit") and hasattr(found, "predict")


def _near(path: str) -> str:
    """The estimator that was likely meant, as the beginning of a hint; empty where none is near."""
    module, _, name = path.rpartition(".")
    here = {each: f"{module}.{each}" for each in _estimators_in(module)}
    anywhere = _estimators_of_sklearn() if module.partition(".")[0] in {"", "sklearn"} else {}
    known = here if name not in anywhere and get_close_matches(name, here, n=1) else anywhere
    near = get_close_matches(name, known, n=1)
    return f"did you mean {known[near[0]]!r}? " if near else ""


def _estimators_in(module: str) -> list[str]:
    try:
        return [name for name, found in vars(import_module(module)).items() if _is_estimator(found)]
    except (ImportError, TypeError, ValueError):
        return []


@functools.cache
def _estimators_of_sklearn() -> dict[str, str]:
    """The import path of every predictor of scikit-learn, by its name."""
    try:
        from sklearn.utils import all_estimators
    except ImportError:
        return {}
    found = (each for each in all_estimators() if _is_estimator(each[1]))
    return {name: f"{cls.__module__.partition('._')[0]}.{name}" for name, cls in found}
