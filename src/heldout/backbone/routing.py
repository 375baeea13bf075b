"""How groups and weights reach what is nested in an estimator, and how a search inside of it splits its rows.

A search that holds out rows of groups that it trains on chooses for the groups that it has seen. So wherever an
estimator splits rows by itself (``cv`` is a number, or not said), it splits the groups of the train view; whoever wants
another way names a splitter. scikit-learn's metadata routing takes groups and weights to whoever asks for them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.backbone.requests import ask_for_weights, parts_of
from heldout.errors import StudyError

_FOLDS = 5
_MANY = 1000  # groups, enough for any folds that are nested
_LEAVE_ONE_OUT = ("RidgeCV", "RidgeClassifierCV")  # in closed form, where no number of folds is said
_STACKS = ("StackingRegressor", "StackingClassifier")


def fit_routed(
    estimator: Any, features: Any, target: Any, groups: NDArray[Any], weight: NDArray[np.float64] | None
) -> Any:
    """The estimator, fitted; groups and weights go to those parts of it that ask for them.

    Args:
        estimator: Not fitted yet.
        features: Rows in any form that it takes.
        target: Float64 or labels, ``[rows]``.
        groups: Group of each row.
        weight: How much each row counts; None where all count alike.
    """
    inner = _group_inner_splits(estimator, groups)
    direct = weight is None or _takes_weights_itself(estimator)
    if not inner and direct:
        return estimator.fit(features, target, **({} if weight is None else {"sample_weight": weight}))
    from sklearn import config_context

    with config_context(enable_metadata_routing=True):
        told = {"groups": groups} if inner else {}
        if weight is not None:
            ask_for_weights(estimator)
            told["sample_weight"] = weight
        return estimator.fit(features, target, **told)


def takes_weights(estimator: Any) -> bool:
    """Whether weights reach a ``fit`` that counts by them; what an estimator passes on unseen is not believed."""
    if _takes_weights_itself(estimator):
        return True
    from sklearn import clone

    if not hasattr(estimator, "get_metadata_routing"):
        return False
    try:
        asked = clone(estimator)
        ask_for_weights(asked)
    except (AttributeError, TypeError, ValueError):  # nothing of scikit-learn's
        return False
    ends = [part.final_estimator for part in parts_of(asked) if _is_stack(part)]
    return _consumes(asked, "sample_weight", "fit") and all(
        _takes_weights_itself(end) for end in ends if end is not None
    )


def refuse_unrouted(estimator: Any, *, weighted: bool) -> None:
    """Nothing; what would fail in every fit, since groups cannot be given to it, is refused.

    Args:
        estimator: Not fitted; it is left as it is.
        weighted: Whether rows have weights.

    Raises:
        StudyError: If a part splits groups and scikit-learn gives it none.
    """
    from sklearn import clone

    try:
        asked = clone(estimator)
    except (TypeError, RuntimeError):  # nothing of scikit-learn's
        return
    routed = _group_inner_splits(asked, np.arange(_MANY)) or (weighted and not _takes_weights_itself(asked))
    for part in _splitting(asked):
        if not _reached(asked, part):
            how = "such as {estimator: sklearn.model_selection.KFold}, which splits by rows"
            around = "; or search around the whole: the folds of a GridSearchCV are groups"
            raise _unrouted(estimator, part, f"name a splitter as the `cv` of {type(part).__name__}, {how}{around}")
    for part in parts_of(asked):
        if routed and _looks_for_groups(part):  # as soon as anything is routed
            raise _unrouted(estimator, part, "leave its `cv` out, and let it stand in no stack; or fit without weights")


def _unrouted(estimator: Any, part: Any, hint: str) -> StudyError:
    name, whole = type(part).__name__, type(estimator).__name__
    what = f"{name} splits groups, and scikit-learn gives it none where it stands in {whole}"
    return StudyError(what, where="fit.params", hint=hint)


def _takes_weights_itself(estimator: Any) -> bool:
    from sklearn.utils.validation import has_fit_parameter

    return bool(has_fit_parameter(estimator, "sample_weight"))


def _group_inner_splits(estimator: Any, groups: NDArray[Any]) -> bool:
    """Let every part that splits rows by itself split groups; whether a part asks for groups then."""
    from sklearn.model_selection import GroupKFold

    for part in parts_of(estimator):
        folds = part.get_params(deep=False).get("cv", "none here")
        if folds is None and type(part).__name__ in _LEAVE_ONE_OUT:
            continue
        if folds is None or (isinstance(folds, int) and not isinstance(folds, bool)):
            most = _fewest(estimator, part, groups)
            part.set_params(cv=GroupKFold(max(2, min(_FOLDS if folds is None else folds, most))))
            if _stands_in(estimator, part):
                part.set_params(cv=folds)
    return _asks_for_groups(estimator)


def _stands_in(estimator: Any, part: Any) -> bool:
    """Whether a part's folds only stand in for new rows, and nothing is chosen by them; or it knows of no groups."""
    if _is_target_encoder(part):
        return not (_asks_for_groups(part) and _reached(estimator, part))
    known = type(part).__module__.partition(".")[0] == "sklearn" and not _is_stack(part)
    return not known and not _asks_for_groups(part)


def _fewest(estimator: Any, part: Any, groups: NDArray[Any]) -> int:
    """The fewest groups of which a part is given rows: those in which it is nested hold some of them out."""
    for outer in parts_of(estimator):
        folds: Any = getattr(outer, "cv", None)
        if not hasattr(folds, "split") or not _holds(outer, part):
            continue
        splits = folds.split(groups, np.zeros(len(groups), dtype=int), groups)
        groups = min((groups[train] for train, _ in splits), key=lambda left: len(np.unique(left)))
    return len(np.unique(groups))


def _splitting(estimator: Any) -> list[Any]:
    """The parts with folds that ask for groups."""
    return [part for part in parts_of(estimator) if _consumes(getattr(part, "cv", None), "groups", "split")]


def _reached(estimator: Any, part: Any) -> bool:
    """Whether groups get to the folds of a part: whether the whole asks for them where no other part does."""
    if any(_is_stack(each) and _holds(each, part) for each in parts_of(estimator)):
        return False  # a stack gives its last estimator all that it is given, asked or not
    others = [(each, each.cv) for each in _splitting(estimator) if each is not part]
    try:
        for each, _ in others:
            each.set_params(cv=2)
        return _asks_for_groups(estimator)
    finally:
        for each, folds in others:
            each.set_params(cv=folds)


def _asks_for_groups(estimator: Any) -> bool:
    return _consumes(estimator, "groups", "fit", "fit_transform")


def _consumes(found: Any, what: str, *methods: str) -> bool:
    """Whether scikit-learn would give it this where it is asked to do one of these."""
    from sklearn import config_context
    from sklearn.utils.metadata_routing import get_routing_for_object

    if not hasattr(found, "get_metadata_routing"):
        return False
    with config_context(enable_metadata_routing=True):
        try:
            routing = get_routing_for_object(found)
            return any(routing.consumes(method, [what]) for method in methods)
        except (AttributeError, NotImplementedError, TypeError, ValueError):  # AdaBoost routes nothing
            return False


def _holds(whole: Any, part: Any) -> bool:
    return whole is not part and any(part is each for each in parts_of(whole))


def _looks_for_groups(part: Any) -> bool:
    """Whether a part fails where something is routed and groups are not for it: since scikit-learn 1.9."""
    routes = "get_metadata_routing" in vars(type(part))
    return _is_target_encoder(part) and routes and not _consumes(part.cv, "groups", "split")


def _is_stack(part: Any) -> bool:
    return type(part).__name__ in _STACKS


def _is_target_encoder(part: Any) -> bool:
    from sklearn.preprocessing import TargetEncoder

    return isinstance(part, TargetEncoder)
