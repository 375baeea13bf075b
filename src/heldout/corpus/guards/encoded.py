"""HO-G011: a feature that was made from the groups' targets: a target encoding over the whole table.

An honest property of a group (an altitude, a dose) predicts the group's mean at best up to the error that this mean has
as a mean of so many rows. A feature that comes closer than that error allows was made from the very rows. How much
closer is judged by chi square: with few groups only a feature that is exact to many digits is told from luck.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.corpus.guards.finding import Finding, GuardResult
from heldout.corpus.guards.levels import Answers, Codes, Floats
from heldout.corpus.model import Corpus

_BLOCKS, _REPORTED = 1e-9, 1e-5
# A feature of the group hardly moves inside it.
_INSIDE = 0.1
_MOST_CLASSES = 8


def check_encoded(corpus: Corpus) -> GuardResult:
    """Compare each feature that hardly moves inside groups with means, medians, extremes and first and last targets."""
    answers = Answers.of(corpus)
    if answers.number < 2:
        return GuardResult("HO-G011", not_applicable="the corpus has one group")
    candidates = [
        (column.name, means)
        for column in corpus.features.get_columns()
        if column.dtype.is_numeric() and (means := _of_groups(column.cast(pl.Float64).to_numpy(), answers)) is not None
    ]
    if not candidates:
        return GuardResult("HO-G011")
    tried = [*_summaries(corpus, answers)]
    tests = len(candidates) * max(1, len(tried)) * 2
    findings = []
    for name, feature in candidates:
        chance, what = min(((_chance(feature, *each[1:]), each[0]) for each in tried), default=(1.0, ""))
        if chance * tests <= _REPORTED:
            findings.append(_finding(name, what, blocking=chance * tests <= _BLOCKS))
    return GuardResult("HO-G011", tuple(findings))


def _of_groups(values: Floats, answers: Answers) -> Floats | None:
    """The feature's mean by group where it hardly moves inside groups, and moves between them."""
    counts = np.bincount(answers.groups)
    means: Floats = np.bincount(answers.groups, values) / counts
    between = float(means.std())
    inside = float(np.sqrt(((values - means[answers.groups]) ** 2).mean()))
    return means if between > 1e-12 * max(1.0, float(np.abs(means).max())) and inside <= _INSIDE * between else None


def _summaries(corpus: Corpus, answers: Answers) -> Iterator[tuple[str, Floats, Floats]]:
    """What a group's targets may have been made into: its name, a number for each group, and the error of the mean."""
    if corpus.task == "classification":
        classes, counts = np.unique(corpus.targets("guard"), return_counts=True)
        for label in classes[np.argsort(-counts, kind="stable")][:_MOST_CLASSES]:
            mean, error = _mean(np.equal(corpus.targets("guard"), label).astype(float), answers.groups)
            yield f"share of the label {str(label)!r}", mean, error
        return
    truth = corpus.targets("guard")
    mean, error = _mean(truth, answers.groups)
    yield "mean", mean, error
    table = pl.DataFrame({"group": answers.groups, "target": truth}).group_by("group", maintain_order=True)
    target = pl.col("target")
    made = table.agg(
        median=target.median(), first=target.first(), last=target.last(), least=target.min(), largest=target.max()
    ).sort("group")
    for name in ("median", "first", "last", "least", "largest"):
        yield f"{name} target" if name != "median" else name, made[name].to_numpy(), error


def _mean(values: NDArray[np.float64], groups: Codes) -> tuple[Floats, Floats]:
    counts = np.bincount(groups)
    mean = np.bincount(groups, values) / counts
    inside = np.bincount(groups, (values - mean[groups]) ** 2) / np.maximum(1, counts - 1)
    # Groups of few rows have the errors of all: two rows may be equal by luck.
    pooled = float((inside * counts).sum() / counts.sum())
    return mean, np.sqrt((inside * (counts - 1) + pooled) / counts / counts)


def _chance(feature: Floats, summary: Floats, error: Floats) -> float:
    """How likely an honest property of the groups comes so close to the summary, as it is or up to scale and offset."""
    from scipy.special import chdtr  # scipy.stats.chi2.cdf, imported in a tenth of the time

    used = error > 0
    if used.sum() < 2 or used.mean() < 0.5 or not summary[used].std() > 0:
        return 1.0
    feature, summary, weight = feature[used], summary[used], 1 / error[used]
    best = float(chdtr(int(used.sum()), (((feature - summary) * weight) ** 2).sum()))
    if used.sum() >= 3:
        design = np.column_stack([np.ones(len(feature)), (feature - feature.mean()) / feature.std()]) * weight[:, None]
        fitted = design @ np.linalg.lstsq(design, summary * weight, rcond=None)[0]
        best = min(best, float(chdtr(int(used.sum()) - 2, ((fitted - summary * weight) ** 2).sum())))
    return best


def _finding(name: str, what: str, *, blocking: bool) -> Finding:
    return Finding(
        "HO-G011",
        blocking=blocking,
        what=f"the feature {name!r} is the {what} of its group over the whole table, closer than chance allows",
        where=f"column {name}",
        hint="remove it: nobody knows it of a held-out group; or make it from training rows, inside the estimator",
    )
