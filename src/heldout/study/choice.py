"""What a study chooses among: its variants, or a grid over what is fitted, as the block of the backbone ``select``."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Mapping
from typing import Any

from heldout.errors import StudyError
from heldout.study.load import StudyFile, set_dotted
from heldout.study.spec import BASE, StudySpec

_SAME = ("corpus", "split", "task", "seeds")
SELECT = "select"
_LONGEST = 60


def with_choice(file: StudyFile, spec: StudySpec, variant: str) -> StudySpec:
    """The study with its choice as a backbone; itself where nothing is chosen.

    ``select`` is what the study itself does. A variant is one model, unless its overlay says otherwise.

    Args:
        file: The study as written.
        spec: With one variant applied.
        variant: Which.

    Raises:
        StudyError: If a candidate differs in more than what is fitted.
    """
    own = variant == BASE or any(
        key.partition(".")[0] == SELECT for _, each in file.lineage(variant) for key in each.set
    )
    if spec.select is None or not own:
        return spec.model_copy(update={"select": None})
    chosen = spec.select
    among = _grid(file, spec, chosen.space) if chosen.space else _variants(file, spec, chosen.among or [])
    fit = {"among": among, "inner": chosen.inner, "metric": chosen.metric}
    told = {key: value for key, value in fit.items() if value is not None}
    return spec.model_copy(update={"backbone": SELECT, "fit": told, "select": None})


def _variants(file: StudyFile, spec: StudySpec, names: list[str]) -> dict[str, dict[str, Any]]:
    found = {}
    for name in names:
        each = file.variant(name)
        other = next((key for key in _SAME if getattr(each, key) != getattr(spec, key)), None)
        if other is not None:
            raise StudyError(
                f"the variant {name!r} has another `{other}`, and a choice is made on the same rows",
                where=file.document.where((SELECT, "among")),
                hint="leave it out: only `backbone` and `fit` may differ",
            )
        found[name] = {"backbone": each.backbone, "fit": each.fit}
    return found


def _grid(file: StudyFile, spec: StudySpec, space: Mapping[str, list[Any]]) -> dict[str, dict[str, Any]]:
    """Every combination of values, by a name that says it."""
    found: dict[str, dict[str, Any]] = {}
    for values in itertools.product(*space.values()):
        raw: dict[str, Any] = {"fit": copy.deepcopy(spec.fit)}
        for key, value in zip(space, values, strict=True):
            set_dotted(raw, key, value, where=f"select.space.{key}")
        candidate = {"backbone": spec.backbone, "fit": raw["fit"]}
        if candidate in found.values():
            what = f"`space` has one candidate twice: {', '.join(map(str, values))}"
            raise StudyError(what, where=file.document.where((SELECT, "space")), hint="name each value once")
        found[_name(space, values, found)] = candidate
    return found


def _name(space: Mapping[str, list[Any]], values: tuple[Any, ...], taken: Mapping[str, Any]) -> str:
    """A name that says the values; where they do not fit into one, or two look alike, it ends with a number."""
    said = "_".join(f"{key.rpartition('.')[2]}-{value}" for key, value in zip(space, values, strict=True))
    name = re.sub(r"[^a-z0-9_-]+", "-", said.lower()).strip("-_") or "candidate"
    if len(name) <= _LONGEST and name not in taken:
        return name
    return f"{name[: _LONGEST - 5].rstrip('-_')}-c{len(taken):03d}"
