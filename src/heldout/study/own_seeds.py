"""``seeds: as_given``: what draws takes the ``random_state`` that stands in its parameters, and fits a fold once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heldout.study.spec import AS_GIVEN, StudySpec

KEY = "random_state"


def with_own_seeds(spec: StudySpec) -> StudySpec:
    """The study with ``seeds: as_given`` as a parameter of what is fitted, where it counts for its identity.

    A baseline without a ``random_state`` keeps the stream of seed 0. A study that lists its seeds is returned as it is.
    """
    if spec.seeds:
        return spec
    given = {KEY: AS_GIVEN}
    baselines = spec.baselines and [
        each.model_copy(update={"fit": each.fit | given}) if holds_state(each.fit) else each for each in spec.baselines
    ]
    return spec.model_copy(update={"fit": spec.fit | given, "baselines": baselines})


def holds_state(params: Any) -> bool:
    """Whether a ``random_state`` stands anywhere in these parameters."""
    if isinstance(params, Mapping):
        return KEY in params or any(holds_state(each) for each in params.values())
    return isinstance(params, list | tuple) and any(holds_state(each) for each in params)
