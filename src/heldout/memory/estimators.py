"""An estimator in memory as a study says it: an import path, and what its arguments are besides their defaults."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from heldout.errors import InputError
from heldout.study.own_seeds import KEY

_OF_LABELS = re.compile(r"class_weight(\[\d+\])*$")  # an argument whose keys are labels, or a list of its values


def said(estimator: Any, where: str, *, seeds: bool = False) -> dict[str, Any]:
    """``{estimator: its.import.path, params: {...}}``; estimators, steps and splitters inside it are written alike.

    Args:
        estimator: An estimator that need not be fitted, its class, or the import path of one.
        where: What it is called where it was given.
        seeds: With each ``random_state`` that is a number. Left out otherwise: the seeds of a study set all of them.

    Raises:
        InputError: If it cannot be imported elsewhere, or an argument is nothing that a file can say.
    """
    if isinstance(estimator, str):
        return {"estimator": estimator}
    if inspect.isclass(estimator):
        return {"estimator": _path(estimator, where)}
    own = {name: value for name, value in _own(estimator, where).items() if seeds or name != KEY}
    params = {name: _value(value, f"{where}: {name}", seeds) for name, value in own.items()}
    return {"estimator": _path(type(estimator), where)} | ({"params": params} if params else {})


def _own(part: Any, where: str) -> dict[str, Any]:
    """Arguments of a part of an estimator that differ from their defaults."""
    try:
        known = dict(inspect.signature(type(part)).parameters)
    except (TypeError, ValueError):
        known = {}
    if hasattr(part, "get_params"):
        values = part.get_params(deep=False)
    else:  # such as a splitter: scikit-learn keeps each argument under its own name
        missing = next((name for name in known if not hasattr(part, name)), None)
        if missing is not None:
            raise _unsaid(part, where, f"it does not keep its argument {missing!r}")
        values = {name: getattr(part, name) for name in known}
    return {name: value for name, value in values.items() if name not in known or not _same(value, known[name].default)}


def _same(value: Any, default: Any) -> bool:
    if value is default:
        return True
    if type(value) is not type(default) or not isinstance(value, bool | int | float | str):
        return False
    return bool(value == default or (value != value and default != default))


def _value(value: Any, where: str, seeds: bool) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray) and value.dtype != object:
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_value(each, f"{where}[{number}]", seeds) for number, each in enumerate(value)]
    if isinstance(value, Mapping):
        return {_key(key, value, where): _value(each, f"{where}.{key}", seeds) for key, each in value.items()}
    if inspect.isclass(value) or not any(hasattr(value, name) for name in ("get_params", "split")):
        raise _unsaid(value, where, "a file cannot say it")
    return said(value, where, seeds=seeds)


def _key(key: Any, whole: Mapping[Any, Any], where: str) -> str:
    """A key as text; whole numbers where keys are labels, which are numbers again where the labels are."""
    if isinstance(key, str):
        return key
    if isinstance(key, int | np.integer) and not isinstance(key, bool) and _OF_LABELS.search(where):
        return str(int(key))
    raise _unsaid(
        whole, where, f"its key {key!r} is no text" + (", and no whole number" * bool(_OF_LABELS.search(where)))
    )


def _path(cls: type, where: str) -> str:
    """The shortest import path under which the class is offered."""
    module, name = cls.__module__, cls.__qualname__
    if module == "__main__" or "." in name:
        what = f"{name!r} stands in {'this program' if module == '__main__' else 'a function or a class'}"
        hint = "put the class into a module of its own, and import it from there: whoever verifies imports it too"
        raise InputError(f"{what}, where nobody else can import it", where=where, hint=hint)
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        place = ".".join(parts[:count])
        if getattr(import_module(place), name, None) is cls:
            return f"{place}.{name}"
    raise _unsaid(cls, where, f"{module} does not offer it")


def _unsaid(value: Any, where: str, why: str) -> InputError:
    hint = "give numbers, text, lists, estimators and splitters; or write a class around it, in a module of its own"
    name = type(value).__name__
    if isinstance(value, slice) or name == "make_column_selector":
        hint = "name the columns in a list; those of an array are x0, x1, ..."
    elif callable(value) and not hasattr(value, "fit"):
        name = f"the function {getattr(value, '__name__', name)!r}"
        hint = "write a class with `fit` and `transform` or `predict` that calls it, in a module of its own"
    return InputError(f"{name} cannot be written into a study: {why}", where=where, hint=hint)
