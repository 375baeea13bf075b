"""An estimator from its import path and arguments, and those that are nested in its arguments.

``{estimator: sklearn.preprocessing.StandardScaler}`` stands for one wherever an argument holds it, in lists too, so
that pipelines, searches and votes are written down as data. What draws is given the unit's seed, wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from heldout.backbone.estimators import arguments_of, check_values, import_component, import_estimator
from heldout.errors import StudyError

_KEYS = {"estimator", "params"}
_OF_LABELS = "class_weight"  # an argument whose keys are labels; in a grid, what it is of stands before it
WHOLE = r"(0|-?[1-9][0-9]{0,17})"
_BY_COLUMN = "ColumnTransformer"  # takes columns by name


def build(estimator: str, params: Mapping[str, Any], seed: int | None, *, whole: bool = False) -> Any:
    """A fresh estimator.

    Args:
        estimator: Its import path.
        params: Its arguments.
        seed: Of all that draws in it; None: each ``random_state`` stays as it stands in the arguments.
        whole: Whether the labels that it learns are whole numbers, and those that its arguments name too.

    Raises:
        HeldoutError: If something in it does not exist, or does not take its arguments.
    """
    told = _with_whole_labels(params) if whole else params
    return _made(import_estimator(estimator), estimator, told, seed, "fit.params")


def paths_in(params: Any) -> Iterator[str]:
    """The import path of everything that is nested in these arguments, at any depth."""
    if _is_nested(params):
        yield params["estimator"]
        yield from paths_in(params.get("params", {}))
    elif isinstance(params, Mapping):
        for value in params.values():
            yield from paths_in(value)
    elif isinstance(params, list | tuple):
        for value in params:
            yield from paths_in(value)


def by_name(estimator: str, params: Mapping[str, Any]) -> bool:
    """Whether columns are asked for by their names somewhere in it."""
    return any(path.rpartition(".")[2] == _BY_COLUMN for path in (estimator, *paths_in(params)))


def _with_whole_labels(value: Any, *, labels: bool = False) -> Any:
    """The arguments with whole numbers for the labels of `class_weight`: a file has text for keys."""
    if isinstance(value, Mapping):
        if labels and all(re.fullmatch(WHOLE, str(key)) for key in value):
            return {int(key): each for key, each in value.items()}
        return {key: _with_whole_labels(each, labels=str(key).endswith(_OF_LABELS)) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_with_whole_labels(each, labels=labels) for each in value]
    return value


def _is_nested(value: Any) -> bool:
    if not isinstance(value, Mapping) or not isinstance(value.get("estimator"), str):
        return False
    return {*value} <= _KEYS and "." in value["estimator"] and isinstance(value.get("params", {}), Mapping)


def _value(value: Any, seed: int | None, where: str) -> Any:
    """An argument with everything built that is nested in it."""
    if _is_nested(value):
        path = value["estimator"]
        return _made(import_component(path, where), path, value.get("params") or {}, seed, where)
    if isinstance(value, Mapping):
        return {key: _value(each, seed, f"{where}.{key}") for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_value(each, seed, f"{where}.{index}") for index, each in enumerate(value)]
    return value


def _like(default: object, value: Any) -> Any:
    """A list as a tuple, where the argument is one by default: a file has no tuples, and some estimators want them."""
    return tuple(value) if isinstance(default, tuple) and isinstance(value, list) else value


def _made(cls: Any, path: str, params: Mapping[str, Any], seed: int | None, where: str) -> Any:
    known = arguments_of(path)
    if seed is not None and "random_state" in params:
        raise StudyError(
            "`random_state` is set by the seeds",
            where=f"{where}.random_state",
            hint="remove it, and list `seeds:` in the study; or write `seeds: as_given`, for one fit with this one",
        )
    if params.get("memory") is not None:
        raise StudyError(
            "`memory` is a folder of pickles, and nothing is ever loaded from one",
            where=f"{where}.memory",
            hint="remove it",
        )
    arguments = {key: _like(known.get(key), _value(each, seed, f"{where}.{key}")) for key, each in params.items()}
    if seed is not None and "random_state" in known and arguments.get("shuffle", known.get("shuffle", True)):
        arguments["random_state"] = seed  # without shuffling nothing is drawn
    if "allow_writing_files" in known:  # CatBoost's, which would leave logs wherever it is run
        arguments.setdefault("allow_writing_files", False)
    try:
        made = cls(**arguments)
    except TypeError as error:
        raise StudyError(
            f"{path} does not take these arguments: {error}",
            where=where,
            hint=f"it takes: {', '.join(known) or 'none'}",
        ) from None
    check_values(path, made, where)
    return made
