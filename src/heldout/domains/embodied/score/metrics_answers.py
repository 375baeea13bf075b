"""Metrics of answers about windows: the published ones by their formulas, and beside each what costs nothing.

Contenders that know train answers alone: *majority* (the most common answer) and *chance* (a lottery with the shares of
train, its expected sums). *Persistence* repeats what was: for ``next_action`` the true action now, which a metric must
beat, since most of what comes next is what is; for other fields the true answer of the window before, which no model
has, so it is shown and rules nothing.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from heldout.backbone import FloatArray
from heldout.domains.embodied.episodes.labels import LABEL_FIELDS, UNKNOWN, objects_of
from heldout.domains.embodied.score.answers import is_valid, label_of, strict_problem
from heldout.domains.embodied.score.train_labels import TrainLabels
from heldout.study import BootstrapSpec
from heldout.task import labels as formulas
from heldout.task.cluster import Contender, Draws, beside

Row = Mapping[str, Any]
AT_CHANGES = "next_action_accuracy_at_changes"
_OPTIONS_OF = {"action": "action", "next_action": "action", "subtask": "subtask"}


@dataclass(frozen=True)
class Answers:
    """Rows of ``predictions.jsonl`` and what train knows.

    Attributes:
        rows: In the published format.
        train: Train answers.
        spec: How intervals are drawn.
    """

    rows: Sequence[Row]
    train: TrainLabels
    spec: BootstrapSpec

    @cached_property
    def before(self) -> list[Row | None]:
        """The window before each, of the same episode and length."""
        windows: dict[tuple[str, int], list[int]] = defaultdict(list)
        for place, row in enumerate(self.rows):
            window = row["center_window"]
            windows[str(row["episode_id"]), window["end_frame"] - window["start_frame"]].append(place)
        found: list[Row | None] = [None] * len(self.rows)
        for places in windows.values():
            places.sort(key=lambda place: self.rows[place]["center_window"]["start_frame"])
            for earlier, place in itertools.pairwise(places):
                found[place] = self.rows[earlier]
        return found

    def draws(self, places: Sequence[int]) -> Draws:
        """Resampling of the episodes of some rows."""
        return Draws([str(self.rows[place]["episode_id"]) for place in places], self.spec)


def score_answers(answers: Answers) -> dict[str, object]:
    """The body of ``metrics.json``: published names at the top, ``evidence`` with every metric beside its baselines."""
    rows, train = answers.rows, answers.train
    seen = [row["true_label"] in train.labels["action"] for row in rows]
    right = [row["predicted_label"] == row["true_label"] for row in rows]
    unseen_labels = sorted({row["true_label"] for row, known in zip(rows, seen, strict=True) if not known})
    fields: dict[str, dict[str, object]] = {}
    evidence: dict[str, dict[str, object]] = {}
    for field in LABEL_FIELDS:
        fields[field], found = _field(answers, field)
        evidence |= found
    evidence["object_micro_f1"] = _objects(answers)
    episodes = len({row["episode_id"] for row in rows})
    published = {
        "accuracy": evidence["accuracy"]["value"],
        "macro_f1": evidence["action_macro_f1"]["value"],
        "seen_label_accuracy": _share([ok for ok, known in zip(right, seen, strict=True) if known]),
        "unseen_label_accuracy": _share([ok for ok, known in zip(right, seen, strict=True) if not known]),
        "unseen_eval_labels": unseen_labels,
        "num_unseen_label_samples": seen.count(False),
        "num_samples": len(rows),
        "num_eval_episodes": episodes,
        "held_out_episode_count": episodes,
        "eval_label_counts": dict(sorted(Counter(str(row["true_label"]) for row in rows).items())),
        "json_validity_rate": _share([is_valid(row["pred_json"]) for row in rows]),
        "caption_window_grounding": None,
    }
    published |= {name: one["value"] for name, one in evidence.items() if name not in ("accuracy", AT_CHANGES)}
    return published | _form(answers) | {"fields": fields, "evidence": evidence}


def _form(answers: Answers) -> dict[str, object]:
    """How well-formed the answers are, and what the evidence window is worth."""
    problems = [strict_problem(str(row["raw_prediction"]), answers.train.options) for row in answers.rows]
    stated = answers.train.window_is_stated
    why = {
        True: "the prompt states it, so it is copied and no evidence",
        False: "the prompt does not state it, but it is the window that was cut, not a place that was found",
        None: "nobody knows whether the prompt stated it",
    }[stated]
    exact = [row["pred_json"].get("evidence_window") == row["true_json"].get("evidence_window") for row in answers.rows]
    return {
        "json_validity_strict": _share([problem is None for problem in problems]),
        "json_problems": dict(sorted(Counter(problem for problem in problems if problem).items())),
        "evidence_window": {"exact": _share(exact), "is_evidence": False, "stated_in_prompt": stated, "why": why},
    }


def _field(answers: Answers, field: str) -> tuple[dict[str, object], dict[str, dict[str, object]]]:
    """A field's own table, and the metrics of it by their published names."""
    rows = answers.rows
    # The published accuracy of actions is over all rows, that of other fields over those whose truth is known.
    places = [p for p, row in enumerate(rows) if field == "action" or _truth(row, field) != UNKNOWN]
    if not places:
        why = "no window's truth is known"
        names = (_name(field), *((AT_CHANGES,) if _next(field) else ()))
        return {"rows": 0, "why": why}, {name: nothing(why) for name in names}
    board = Board(answers, field, places)
    found = {_name(field): board.metric(formulas.accuracy)}
    if field == "action":
        found["action_macro_f1"] = board.metric(board.published_macro_f1)
    if _next(field):
        changes = [p for p in places if _truth(rows[p], "action") not in (UNKNOWN, _truth(rows[p], field))]
        why = "no action changes from a window to the next"
        found[AT_CHANGES] = (Board(answers, field, changes).metric(formulas.accuracy) if changes else nothing(why)) | {
            "rows": len(changes)
        }
    table = {
        "rows": len(places),
        "classes": len(board.occurring),
        "balanced_accuracy": board.metric(formulas.balanced_accuracy),
        "macro_f1_supported": board.metric(formulas.supported_macro_f1),
        "recall": {one["class_name"]: one["recall"] for one in board.per_class() if one["support"]},
        "majority": answers.train.majority(field),
    }
    return table, found


class Board:
    """One field on some rows: our sums of labels, and those of the cheap contenders.

    Attributes:
        classes: Every label that any contender gives.
        listed: Options, and labels that are truth or our prediction: what the published macro F1 is taken over.
        occurring: Labels that are truth.
        ours: Sums of our predictions.
    """

    def __init__(self, answers: Answers, field: str, places: Sequence[int]) -> None:
        """Sum the rows at ``places``."""
        self._draws = answers.draws(places)
        rows, train = [answers.rows[place] for place in places], answers.train
        truth = [_truth(row, field) for row in rows]
        ours = [_said(row, field) for row in rows]
        majority = train.majority(field)
        if _next(field):
            kept = [_truth(row, "action") for row in rows]
        else:
            before = [answers.before[place] for place in places]
            kept = [majority if row is None else _truth(row, field) for row in before]
        self.listed = {*train.options.get(_OPTIONS_OF.get(field, ""), ()), *truth, *ours}
        self.occurring = frozenset(truth)
        self.classes = tuple(sorted({*self.listed, majority, *kept, *train.shares(field)}))
        sums = formulas.LabelSums(self.classes, self._draws.codes)
        self.ours = sums.of_labels(truth, ours)
        self._others = {
            "majority": Contender(sums.of_labels(truth, [majority] * len(truth))),
            "chance": Contender(sums.of_lottery(truth, train.shares(field))),
            "persistence": Contender(sums.of_labels(truth, kept), ruled=_next(field)),
        }

    def metric(self, statistic: Any) -> dict[str, object]:
        """A metric of the sums, beside the others'."""
        return beside(self._draws, statistic, self.ours, self._others)

    def published_macro_f1(self, sums: FloatArray) -> FloatArray:
        """Over the options and every label that is truth or prediction."""
        listed = np.array([name in self.listed for name in self.classes])
        return formulas.macro_f1(sums[..., np.tile(listed, 3)])

    def per_class(self) -> list[dict[str, object]]:
        """Of our predictions."""
        return formulas.per_class(self.classes, self.ours.sum(axis=0))


def per_class_rows(answers: Answers) -> list[dict[str, object]]:
    """``per_class_metrics.csv``: actions, over the options and every label that is truth or prediction."""
    board = Board(answers, "action", range(len(answers.rows)))
    return [one for one in board.per_class() if one["class_name"] in board.listed]


def confusion(answers: Answers, field: str = "action") -> tuple[list[str], list[list[int]]]:
    """Labels that are truth or prediction or option, sorted, and counts: row = truth, column = prediction."""
    pairs = Counter((_truth(row, field), _said(row, field)) for row in answers.rows)
    names = sorted({name for pair in pairs for name in pair} | set(answers.train.options.get(field, ())))
    return names, [[pairs[true, said] for said in names] for true in names]


def _objects(answers: Answers) -> dict[str, object]:
    """Micro F1 of sets: sums are right, true and said."""
    draws = answers.draws(range(len(answers.rows)))
    truth = [objects_of(row["true_json"]) for row in answers.rows]
    ours = [objects_of(row["pred_json"]) for row in answers.rows]
    usual = answers.train.usual_objects()
    kept = [usual if row is None else objects_of(row["true_json"]) for row in answers.before]
    others = {
        "majority": Contender(draws.sums(set_sums(truth, [usual] * len(truth)))),
        "chance": Contender(draws.sums(_lottery_sums(truth, answers.train.object_shares()))),
        "persistence": Contender(draws.sums(set_sums(truth, kept)), ruled=False),
    }
    return beside(draws, set_f1, draws.sums(set_sums(truth, ours)), others)


def set_f1(sums: FloatArray) -> FloatArray:
    """Micro F1 of sums right, true, said."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found: FloatArray = 2 * sums[..., 0] / (sums[..., 1] + sums[..., 2])
    return found


def set_sums(truth: Sequence[frozenset[str]], said: Sequence[frozenset[str]]) -> FloatArray:
    """Right, true and said of every row, ``[rows, 3]``."""
    return np.array([(len(t & s), len(t), len(s)) for t, s in zip(truth, said, strict=True)], dtype=np.float64).reshape(
        len(truth), 3
    )


def _lottery_sums(truth: Sequence[frozenset[str]], shares: Mapping[str, float]) -> FloatArray:
    expected = sum(shares.values())
    return np.array(
        [(sum(shares.get(name, 0.0) for name in t), len(t), expected) for t in truth], dtype=np.float64
    ).reshape(len(truth), 3)


def _truth(row: Row, field: str) -> str:
    return str(row["true_label"]) if field == "action" else str(row["true_json"].get(field, UNKNOWN))


def _said(row: Row, field: str) -> str:
    return str(row["predicted_label"]) if field == "action" else label_of(row["pred_json"], field)


def _name(field: str) -> str:
    return "accuracy" if field == "action" else f"{field}_accuracy"


def _next(field: str) -> bool:
    return field == "next_action"


def _share(hits: Sequence[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None


def nothing(why: str) -> dict[str, object]:
    """A metric that does not exist here, and why; it beats nothing."""
    return {"value": None, "interval": None, "baselines": {}, "trivial": None, "beats_trivial": None, "why": why}
