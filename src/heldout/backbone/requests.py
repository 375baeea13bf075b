"""The parts of an estimator, and which of them ask for weights: to fit by them, and to score by them in a search."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import suppress
from typing import Any


def parts_of(estimator: Any) -> Iterator[Any]:
    """The estimator and everything nested in it that says what it is made of."""
    if hasattr(estimator, "get_params") and hasattr(estimator, "set_params"):
        yield estimator
        try:
            nested = estimator.get_params(deep=True)
        except (AttributeError, TypeError, ValueError):
            return
        for part in nested.values():
            if hasattr(part, "get_params") and hasattr(part, "set_params") and not isinstance(part, type):
                yield part


def ask_for_weights(estimator: Any) -> None:
    """Every part that counts rows by weights asks for them, in `fit` and where a search scores by it."""
    from sklearn import config_context

    with config_context(enable_metadata_routing=True):
        for part in parts_of(estimator):
            for method in ("fit", "score"):
                ask = getattr(part, f"set_{method}_request", None)
                if ask is not None and _names_weights(getattr(part, method, None)):
                    with suppress(TypeError):  # it scores by a scorer of its own, which asks
                        ask(sample_weight=True)
            if "scoring" in part.get_params(deep=False):
                part.set_params(scoring=_by_weight(part))


def _by_weight(part: Any) -> Any:
    """What a part scores by, as scorers that ask for weights; as it is where it scores by its estimator's own."""
    scoring = part.scoring
    own = getattr(part, "_get_scorer", None)  # it says what stands for nothing, and there is no public way
    if scoring is None or scoring == "warn":
        if own is None or type(part).__name__.startswith("Ridge"):  # those ask by themselves
            return scoring
        return _asked(own())
    if isinstance(scoring, dict):
        return {name: _asked(each) for name, each in scoring.items()}
    if isinstance(scoring, list | tuple | set):
        return {name: _asked(name) for name in scoring}
    return _asked(scoring)


def _asked(scoring: Any) -> Any:
    """A scorer by its name; it asks for weights if it counts by them."""
    from sklearn.metrics import get_scorer

    scorer = get_scorer(scoring)
    ask = getattr(scorer, "set_score_request", None)
    if ask is None:
        return scorer
    return ask(sample_weight=_names_weights(getattr(scorer, "_score_func", None)))


def _names_weights(function: Any) -> bool:
    try:
        return "sample_weight" in inspect.signature(function).parameters
    except (AttributeError, TypeError, ValueError):
        return False
