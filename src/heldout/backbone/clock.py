"""A fitted model without what the clock and chance wrote into it: equal models then have equal bytes.

Searches of scikit-learn note how long each fit took, CatBoost when a model was finished and a random name. Nothing of
it is read when the model is asked, nor who asked for weights while it was fitted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_NOTED = ("model_guid", "train_finish_time")  # of CatBoost


def without_clock(model: Any) -> Any:
    """The same object, its notes of times set to 0, in everything that it holds."""
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, dict):
            waiting.extend(found.values())
        elif isinstance(found, list | tuple):
            waiting.extend(found)
        elif _is_part(found):
            _forget(found)
            waiting.extend(vars(found).values())
    return model


def _is_part(found: Any) -> bool:
    """Of an estimator; scikit-learn keeps some in objects that are none, such as a calibrated classifier of a fold."""
    if isinstance(found, type) or not hasattr(found, "__dict__"):
        return False
    return hasattr(found, "get_params") or type(found).__module__.partition(".")[0] == "sklearn"


def _forget(estimator: Any) -> None:
    if hasattr(estimator, "refit_time_"):
        estimator.refit_time_ = 0.0
    vars(estimator).pop("_metadata_request", None)
    results = getattr(estimator, "cv_results_", None)
    if isinstance(results, dict):
        results |= {name: np.zeros_like(each) for name, each in results.items() if name.endswith("_time")}
    if type(estimator).__module__.partition(".")[0] == "catboost" and estimator.is_fitted():
        notes = estimator.get_metadata()
        for name in set(_NOTED) & {*notes.keys()}:
            del notes[name]
