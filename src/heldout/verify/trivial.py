"""Contenders that know nothing, asked again: what they answered must be what the training rows give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.evidence.provenance import code_digest
from heldout.split import Fold
from heldout.task.summary import OLDER_SCHEMA
from heldout.task.trivial import Answer, Trivial, asked_by, names_of, trivial_contenders
from heldout.verify.chain import BrokenError
from heldout.verify.evidence import RunEvidence

_PLACE = "metrics.json: trivial"


def stated_trivial(evidence: RunEvidence) -> dict[str, Trivial] | None:
    """The contenders as ``metrics.json`` states their answers; None where a run of before there were any has none.

    Raises:
        BrokenError: If some are missing.
    """
    stated = evidence.metrics.get("trivial")
    if stated is None:
        if evidence.verdict["judged"]["code_sha256"] == code_digest():
            raise BrokenError("these sources judge contenders that know nothing, and the run has none", _PLACE)
        return None
    names = names_of(evidence.corpus.task, _asked(evidence), _own(evidence))
    if set(stated["contenders"]) != set(names):
        raise BrokenError(f"the contenders are not {', '.join(names)}", f"{_PLACE}/contenders")
    return {name: Trivial.from_json(name, stated["contenders"][name]["answers"]) for name in names}


def _own(evidence: RunEvidence) -> dict[str, Answer]:
    """Those that the study's task brings."""
    return {} if evidence.task is None else evidence.task.answers()


def _asked(evidence: RunEvidence) -> list[str]:
    """The metrics for which contenders were added; none in documents of before."""
    return [] if evidence.metrics.get("schema") == OLDER_SCHEMA else asked_by(evidence.gate)


def check_trivial(evidence: RunEvidence) -> None:
    """Without the corpus: the answers in folds whose training rows were held out in others, and so stand in the table.

    Raises:
        BrokenError: If an answer is another.
    """
    samples = evidence.predictions.samples
    known = set(samples["group"].unique().to_list())
    unknown = set(evidence.split.groups) - known
    folds = [fold for fold in evidence.split.folds if unknown.issubset(fold.apart)]
    rows = evidence.predictions.firsts
    target, groups = evidence.predictions.target[rows], samples["group"].to_numpy()[rows]
    weight = evidence.predictions.weight
    compare_trivial(evidence, target, groups, folds, None if weight is None else weight[rows])


def compare_trivial(
    evidence: RunEvidence,
    target: NDArray[Any],
    groups: NDArray[Any],
    folds: Sequence[Fold],
    weight: NDArray[np.float64] | None = None,
) -> None:
    """Compare the stated answers with those that targets and groups give.

    Args:
        evidence: The run.
        target: Of every row that trains in these folds.
        groups: Of the same rows.
        folds: Those that are compared.
        weight: How much each of the rows counts; None where all count alike.

    Raises:
        BrokenError: If an answer is another.
    """
    stated = stated_trivial(evidence)
    if stated is None or not folds:
        return
    if evidence.classes and not set(evidence.classes).issuperset(target.astype(str).tolist()):
        raise BrokenError("a class of the training rows is named nowhere", _PLACE)
    scale = 1.0 if evidence.classes else np.abs(target.astype(np.float64)).max(axis=0)
    known = trivial_contenders(target, groups, folds, evidence.classes, _asked(evidence), weight, _own(evidence))
    for name, expected in known.items():
        fold = stated[name].differs(expected, scale)
        if fold is not None:
            raise BrokenError("the answer is not what the training rows give", f"{_PLACE}/contenders/{name}, {fold}")
