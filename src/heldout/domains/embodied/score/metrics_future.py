"""Metrics of predicted futures: retrieval, order in time, reconstruction, and the labels of what was retrieved.

The published names and formulas stand at the top. ``temporal_consistency`` is the published one, the share of best
candidates of the same episode, which is not about time; ``temporal_order`` is: of two queries of one episode in a row,
whether the futures that were retrieved for them stand in their order. Ranks have a closed chance: with N candidates a
lottery gives an MRR of H_N / N and a recall at k of k / N.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.domains.embodied.episodes.labels import UNKNOWN
from heldout.domains.embodied.score.metrics_answers import nothing
from heldout.errors import InputError
from heldout.study import BootstrapSpec
from heldout.task import labels as formulas
from heldout.task.cluster import Contender, Draws, beside

Row = Mapping[str, Any]
K = 5
_LABELS = ("action", "transition", "contact")


def score_futures(rows: Sequence[Row], spec: BootstrapSpec, train: Mapping[str, Counter[str]]) -> dict[str, object]:
    """The body of ``metrics.json``.

    Args:
        rows: Of ``future_predictions.jsonl``, in the published format. ``feature_reconstruction_error_standardised``
            and the errors of ``copy_last`` and ``train_mean`` beside it are read where they stand, and so are
            ``copy_last_rank`` and ``train_mean_rank``, their ranks of the true future.
        spec: How intervals are drawn.
        train: By field, train windows of each label; empty where nobody said.
    """
    draws = Draws([str(row["episode_id"]) for row in rows], spec)
    candidates = len({str(row["future_record_id"]) for row in rows})
    same = _same_episode(rows)
    evidence: dict[str, dict[str, object]] = {
        "future_retrieval_mrr": _retrieval(
            draws, rows, lambda ranks: 1 / ranks, float(np.mean(1 / np.arange(1, candidates + 1)))
        ),
        f"future_retrieval_recall_at_{K}": _retrieval(
            draws, rows, lambda ranks: (ranks <= K).astype(np.float64), min(K, candidates) / candidates
        ),
        "temporal_consistency": _against(draws, same, {"chance": _chance_of_same(rows)}),
        "temporal_order": _order(rows, same, spec),
    }
    evidence |= _errors(rows, draws)
    evidence |= {f"{field}_accuracy": _labels(rows, field, spec, train.get(field, Counter())) for field in _LABELS}
    episodes = len(draws.names)
    counts = {"num_samples": len(rows), "num_candidates": candidates, "num_eval_episodes": episodes}
    published = {name: one["value"] for name, one in evidence.items()}
    return published | counts | {"held_out_episode_count": episodes, "evidence": evidence}


def future_rows(
    predicted: FloatArray,
    future: FloatArray,
    present: FloatArray,
    mean: FloatArray,
    std: FloatArray,
    keys: Sequence[Mapping[str, Any]],
    shown: int = K,
) -> list[dict[str, object]]:
    """Rows of ``future_predictions.jsonl`` from features: every query against the futures of all.

    Distances are taken on standardised features, so that a few large dimensions do not decide; a feature that train
    never saw change says nothing and is left out.

    Args:
        predicted: Predicted future features, float64 ``[rows, dims]``.
        future: The true ones.
        present: Those of the present window, which copying the last repeats.
        mean: Of train futures, ``[dims]``.
        std: Of train futures.
        keys: Of each row: ``id``, ``episode_id``, ``split``, ``context_record_id``, ``future_record_id``, ``labels``.
        shown: Candidates in ``ranking``.
    """
    changing = std > 0
    scale = np.where(changing, std, 1.0)
    guess, truth, copied = (((part - mean) / scale)[:, changing] for part in (predicted, future, present))
    dims = max(1, int(changing.sum()))
    typical = np.sqrt((truth**2).sum(axis=1))
    rows = []
    for place, key in enumerate(keys):
        distance = np.sqrt(((truth - guess[place]) ** 2).sum(axis=1))
        best = int(distance.argmin())
        rank = _rank(distance, place)
        repeated = np.sqrt(((truth - copied[place]) ** 2).sum(axis=1))
        own = [other for other in range(len(keys)) if keys[other]["future_record_id"] == key["context_record_id"]]
        repeated[own] = np.inf  # the present may be a candidate too; repeating it must not be charged with that
        order = np.argsort(distance, kind="stable")[:shown]
        rows.append(
            {name: key[name] for name in ("id", "episode_id", "split", "context_record_id", "future_record_id")}
            | {
                "pred_future_record_id": keys[best]["future_record_id"],
                "pred_episode_id": keys[best]["episode_id"],
                "rank": rank,
                "copy_last_rank": _rank(repeated, place),
                "train_mean_rank": _rank(typical, place),
                "top_k_hit": int(rank <= K),
                "distance_to_true": float(distance[place]),
                "distance_to_pred": float(distance[best]),
                "feature_reconstruction_error": _rms(predicted[place] - future[place], len(mean)),
                "feature_reconstruction_error_standardised": _rms(guess[place] - truth[place], dims),
                "copy_last_error_standardised": _rms(copied[place] - truth[place], dims),
                "train_mean_error_standardised": _rms(truth[place], dims),
                "ranking": [
                    {
                        "candidate_id": keys[other]["id"],
                        "candidate_future_record_id": keys[other]["future_record_id"],
                        "candidate_episode_id": keys[other]["episode_id"],
                        "distance": float(distance[other]),
                    }
                    for other in order
                ],
            }
            | {f"true_{field}": key["labels"].get(field, UNKNOWN) for field in _LABELS}
            | {f"pred_{field}": keys[best]["labels"].get(field, UNKNOWN) for field in _LABELS}
        )
    return rows


def check_futures(rows: Sequence[Row], where: str) -> None:
    """See that ranks are ranks.

    Raises:
        InputError: If one is not.
    """
    candidates = len({str(row["future_record_id"]) for row in rows})
    for row in rows:
        if type(row["rank"]) is not int or not 1 <= row["rank"] <= candidates:
            raise InputError(
                f"rank {row['rank']!r} of {candidates} candidates", where=f"{where}: {row['id']}", hint="score it again"
            )


def mean_of(sums: FloatArray) -> FloatArray:
    """Mean of sums value, rows."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found: FloatArray = sums[..., 0] / sums[..., 1]
    return found


def pairs(values: FloatArray) -> FloatArray:
    """What ``mean_of`` sums: each value and a one."""
    return np.stack([values, np.ones_like(values)], axis=1)


def _against(draws: Draws, values: FloatArray, constants: Mapping[str, float]) -> dict[str, object]:
    """The mean of a value a row, beside what a lottery expects of every row."""
    others = {name: Contender(draws.sums(pairs(np.full_like(values, value)))) for name, value in constants.items()}
    return beside(draws, mean_of, draws.sums(pairs(values)), others)


def _retrieval(
    draws: Draws, rows: Sequence[Row], value: Callable[[FloatArray], FloatArray], chance: float
) -> dict[str, object]:
    """A value of ranks, beside a lottery and beside those that repeat the present or the mean of train."""
    ours = value(np.array([float(row["rank"]) for row in rows]))
    others = {"chance": Contender(draws.sums(pairs(np.full_like(ours, chance))))}
    for name in ("copy_last", "train_mean"):
        if all(_number(row.get(f"{name}_rank")) for row in rows):
            ranks = np.array([float(row[f"{name}_rank"]) for row in rows])
            others[name] = Contender(draws.sums(pairs(value(ranks))))
    return beside(draws, mean_of, draws.sums(pairs(ours)), others)


def _episode_of(rows: Sequence[Row]) -> dict[str, str]:
    return {str(row["future_record_id"]): str(row["episode_id"]) for row in rows}


def _same_episode(rows: Sequence[Row]) -> FloatArray:
    """Whether the best candidate is of the query's episode."""
    episodes = _episode_of(rows)
    found = [row.get("pred_episode_id") or episodes.get(str(row["pred_future_record_id"])) for row in rows]
    hits = [name == str(row["episode_id"]) for name, row in zip(found, rows, strict=True)]
    return np.array(hits, dtype=np.float64)


def _chance_of_same(rows: Sequence[Row]) -> float:
    """A lottery over candidates: the sum of squared shares of the episodes, as queries and candidates are the same."""
    counts = np.array(list(Counter(_episode_of(rows).values()).values()), dtype=np.float64)
    return float((counts**2).sum() / counts.sum() ** 2)


def _order(rows: Sequence[Row], same: FloatArray, spec: BootstrapSpec) -> dict[str, object]:
    """Of queries of one episode in a row whose futures are both of it: whether these stand in order; equal is half.

    Rows of an episode stand in order of time, as they do in every index.
    """
    place = {str(row["future_record_id"]): number for number, row in enumerate(rows)}
    by_episode: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        by_episode[str(row["episode_id"])].append(number)
    groups, values = [], []
    for name, numbers in by_episode.items():
        for first, second in itertools.pairwise(numbers):
            ids = [str(rows[number]["pred_future_record_id"]) for number in (first, second)]
            if same[first] and same[second] and all(one in place for one in ids):
                step = place[ids[1]] - place[ids[0]]
                groups.append(name)
                values.append(1.0 if step > 0 else 0.5 if step == 0 else 0.0)
    if not values:
        why = "no two queries in a row retrieved futures of their own episode"
        return nothing(why)
    return _against(Draws(groups, spec), np.array(values), {"chance": 0.5}) | {"pairs": len(values)}


def _errors(rows: Sequence[Row], draws: Draws) -> dict[str, dict[str, object]]:
    """Raw errors under the published name; standardised ones beside copying the last and the mean of train."""
    name = "feature_reconstruction_error"
    standard = f"{name}_standardised"
    if not all(_number(row.get(standard)) for row in rows):
        raw = beside(draws, mean_of, draws.sums(_column(rows, name)), {}, smaller_is_better=True)
        return {name: raw | {"why": "there are no standardised errors to compare with copying the last"}}
    others = {
        other: Contender(draws.sums(_column(rows, f"{other}_error_standardised")))
        for other in ("copy_last", "train_mean")
        if all(_number(row.get(f"{other}_error_standardised")) for row in rows)
    }
    judged = beside(draws, mean_of, draws.sums(_column(rows, standard)), others, smaller_is_better=True)
    raw = beside(draws, mean_of, draws.sums(_column(rows, name)), {}, smaller_is_better=True)
    own = {key: raw[key] for key in ("value", "interval")}
    return {standard: judged, name: judged | own | {"judged_on": standard}}


def _column(rows: Sequence[Row], name: str) -> FloatArray:
    return pairs(np.array([float(row[name]) for row in rows]))


def _labels(rows: Sequence[Row], field: str, spec: BootstrapSpec, train: Counter[str]) -> dict[str, object]:
    """Exact equality of the retrieved future's label, where the truth is known."""
    known = [row for row in rows if row.get(f"true_{field}", UNKNOWN) != UNKNOWN]
    if not known:
        return nothing("no window's truth is known")
    truth = [str(row[f"true_{field}"]) for row in known]
    return label_metric(
        [str(row["episode_id"]) for row in known], truth, [str(r[f"pred_{field}"]) for r in known], spec, train
    )


def label_metric(
    episodes: Sequence[str],
    truth: Sequence[str],
    said: Sequence[str],
    spec: BootstrapSpec,
    train: Counter[str],
    kept: Sequence[str] | None = None,
) -> dict[str, object]:
    """Accuracy of labels, beside majority and chance of train, and persistence where it is given; with recall a class.

    Without train labels there is no majority: the metric then beats nothing.
    """
    usual = {label: count for label, count in train.items() if label != UNKNOWN}
    total = sum(usual.values())
    draws = Draws(episodes, spec)
    classes = sorted({*truth, *said, *usual, *(kept or ())})
    sums = formulas.LabelSums(classes, draws.codes)
    others = {}
    if usual:
        majority = min(usual, key=lambda label: (-usual[label], label))
        shares = {label: count / total for label, count in usual.items()}
        others["majority"] = Contender(sums.of_labels(truth, [majority] * len(truth)))
        others["chance"] = Contender(sums.of_lottery(truth, shares))
    if kept is not None:
        others["persistence"] = Contender(sums.of_labels(truth, kept))
    ours = sums.of_labels(truth, said)
    found = beside(draws, formulas.accuracy, ours, others)
    balanced = beside(draws, formulas.balanced_accuracy, ours, others)
    table = formulas.per_class(classes, ours.sum(axis=0))
    recall = {one["class_name"]: one["recall"] for one in table if one["support"]}
    return found | {"rows": len(truth), "balanced_accuracy": balanced, "recall": recall}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _rank(distance: FloatArray, place: int) -> int:
    """Place of a candidate by distance; of equals the earlier one comes first."""
    return 1 + int((distance < distance[place]).sum()) + int((distance[:place] == distance[place]).sum())


def _rms(difference: NDArray[np.float64], dims: int) -> float:
    return float(np.sqrt((difference**2).sum() / dims))
