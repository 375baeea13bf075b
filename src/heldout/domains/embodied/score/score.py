"""Scoring predictions: rows in the published format become metrics, the contract's files and a verdict.

Whoever made the rows, what can be computed is computed again: the parse of the raw text, the matched label, right or
wrong, seen or unseen. A row that says something else than what it holds is named, and the verdict is HOLD.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heldout.domains.embodied.contract.contracts import BackboneContract
from heldout.domains.embodied.episodes.labels import LABEL_FIELDS
from heldout.domains.embodied.score.answers import parse_answer, predicted_action
from heldout.domains.embodied.score.metrics_answers import Answers, score_answers
from heldout.domains.embodied.score.metrics_future import check_futures, score_futures
from heldout.domains.embodied.score.metrics_policy import score_policy
from heldout.domains.embodied.score.rules import judge
from heldout.domains.embodied.score.train_labels import TrainLabels
from heldout.errors import InputError, PrerequisiteError
from heldout.evidence import read_json_lines, read_plain
from heldout.gate.outcome import RuleOutcome
from heldout.study import BootstrapSpec

SCHEMA = "heldout.embodied-metrics/1"
INTERVALS = BootstrapSpec(level=0.95, draws=2000, seed=0)
Row = Mapping[str, Any]
_ANSWER_KEYS = ("id", "episode_id", "split", "center_window", "true_label", "raw_prediction", "true_json")
_FUTURE_KEYS = (
    "id",
    "episode_id",
    "future_record_id",
    "pred_future_record_id",
    "rank",
    "feature_reconstruction_error",
)
_POLICY_KEYS = ("id", "episode_id", "true", "pred")


@dataclass(frozen=True)
class Scored:
    """What a scoring gives.

    Attributes:
        contract: Of the backbone.
        family: Name of the file of predictions, which says what is scored.
        rows: With everything that could be computed again.
        metrics: The document ``metrics.json``.
        rules: What the default gate says.
        train: Train answers.
        facts: Where the predictions come from; shown in the report.
        spec: How intervals were drawn.
    """

    contract: BackboneContract
    family: str
    rows: Sequence[Row]
    metrics: Mapping[str, Any]
    rules: Sequence[RuleOutcome]
    train: TrainLabels
    spec: BootstrapSpec
    facts: Mapping[str, Any] = field(default_factory=dict)


def score(
    contract: BackboneContract,
    rows: Sequence[Row],
    train: TrainLabels,
    *,
    where: str,
    spec: BootstrapSpec | None = None,
    smoke: str | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Scored:
    """Score predictions.

    Args:
        contract: Whose primary metrics are judged.
        rows: Predictions in the published format.
        train: What the baselines know.
        where: The file, for messages.
        spec: How intervals are drawn.
        smoke: Why this is a smoke evaluation, if it is one.
        facts: Where the predictions come from.

    Raises:
        InputError: If a row lacks a field or an id stands twice.
        PrerequisiteError: If nothing here scores what the contract's backbone predicts.
    """
    family, spec = family_of(contract), spec or INTERVALS
    mended, metrics = metrics_of(family, contract.id, rows, train, where=where, spec=spec, smoke=smoke)
    rules = judge(metrics, contract.config["primary_metrics"])
    return Scored(contract, family, mended, metrics, rules, train, spec, facts or {})


def metrics_of(
    family: str,
    backbone: str,
    rows: Sequence[Row],
    train: TrainLabels,
    *,
    where: str,
    spec: BootstrapSpec = INTERVALS,
    smoke: str | None = None,
) -> tuple[list[dict[str, object]], dict[str, Any]]:
    """The rows with everything that could be computed again, and the document ``metrics.json``.

    Args:
        family: Name of the file of predictions.
        backbone: Id of the contract.
        rows: Predictions in the published format.
        train: What the baselines know.
        where: The file, for messages.
        spec: How intervals are drawn.
        smoke: Why this is a smoke evaluation, if it is one.

    Raises:
        InputError: If a row lacks a field or an id stands twice.
    """
    check_rows(family, rows, where)
    answers = family == "predictions.jsonl"
    mended = [recomputed(row, train) if answers else dict(row) for row in rows]
    disagreements = sum(answers and _disagrees(old, new) for old, new in zip(rows, mended, strict=True))
    body = _SCORERS[family](mended, train, spec)
    splits = Counter(str(row.get("split", "unknown")) for row in rows)
    return mended, body | {
        "schema": SCHEMA,
        "backbone": backbone,
        "eval_split": splits.most_common(1)[0][0] if len(splits) == 1 else sorted(splits),
        "train_windows": train.windows,
        "train_labels_sha256": train.sha256,
        "rows_that_disagree_with_themselves": disagreements,
        "smoke": smoke,
    }


def read_rows(path: Path) -> Sequence[Row]:
    """Rows of a file of predictions.

    Raises:
        InputError: If it is not there, is torn, or holds no row.
    """
    try:
        whole = read_plain(path).endswith(b"\n")
    except OSError as error:
        raise InputError(f"cannot read the file: {error.strerror}", where=str(path), hint="check the path") from None
    rows = read_json_lines(path)
    if not rows or not whole:
        what = "there are no predictions" if whole or not rows else "the last line is torn"
        raise InputError(what, where=str(path), hint="evaluate again")
    return rows


def family_of(contract: BackboneContract) -> str:
    """Name of the file of predictions that the contract requires, which says what is scored.

    Raises:
        PrerequisiteError: If nothing here scores it.
    """
    for name in contract.artifacts["required_eval_files"]:
        if name in _SCORERS:
            return str(name)
    raise PrerequisiteError(
        f"nothing here scores the predictions of {contract.id}",
        where=f"{contract.path}: required_eval_files",
        hint=f"a contract with {', '.join(_SCORERS)} is scored",
    )


def recomputed(row: Row, train: TrainLabels) -> dict[str, object]:
    """A row of answers with everything that follows from its raw prediction and its truth."""
    answer = parse_answer(str(row["raw_prediction"]))
    options = train.options.get("action", ())
    # Without the options nobody can match a label again; then the row's own word stands.
    said = predicted_action(str(row["raw_prediction"]), answer, options)
    label = said if options or "predicted_label" not in row else str(row["predicted_label"])
    return dict(row) | {
        "pred_json": answer,
        "predicted_label": label,
        "correct": int(label == row["true_label"]),
        "true_label_seen_in_train": int(row["true_label"] in train.labels["action"]),
    }


def _disagrees(old: Row, new: Row) -> bool:
    names = ("pred_json", "predicted_label", "correct", "true_label_seen_in_train")
    wrong = any(name in old and old[name] != new[name] for name in names)
    return wrong or new["true_label"] != new["true_json"].get("action")


def check_rows(family: str, rows: Sequence[Row], where: str) -> None:
    """See that every row has what its family needs, and that no id stands twice.

    Raises:
        InputError: At the first row that is wrong.
    """
    keys, seen = _KEYS[family], set[str]()
    for number, row in enumerate(rows, start=1):
        missing = [key for key in keys if key not in row]
        if missing:
            raise InputError(
                f"the prediction lacks {', '.join(missing)}", where=f"{where}:{number}", hint="see docs/embodied.md"
            )
        if str(row["id"]) in seen:
            raise InputError(
                f"sample {row['id']!r} stands twice", where=f"{where}:{number}", hint="keep one", code="HO-G004"
            )
        seen.add(str(row["id"]))
        for key in ("center_window", "true_json", "true", "pred"):
            if key in keys and not isinstance(row[key], dict):
                raise InputError(f"{key} is not an object", where=f"{where}:{number}", hint="see docs/embodied.md")
        window = row["center_window"] if "center_window" in keys else {"start_frame": 0, "end_frame": 0}
        if not all(type(window.get(key)) is int for key in ("start_frame", "end_frame")):
            raise InputError("center_window is not a span", where=f"{where}:{number}", hint="start_frame, end_frame")


def _answers(rows: Sequence[Row], train: TrainLabels, spec: BootstrapSpec) -> dict[str, object]:
    return score_answers(Answers(rows, train, spec))


def _futures(rows: Sequence[Row], train: TrainLabels, spec: BootstrapSpec) -> dict[str, object]:
    check_futures(rows, "future_predictions.jsonl")
    return score_futures(rows, spec, {name: train.labels.get(name, Counter()) for name in LABEL_FIELDS})


def _policy(rows: Sequence[Row], train: TrainLabels, spec: BootstrapSpec) -> dict[str, object]:
    labels = {name: train.labels.get(name, Counter()) for name in LABEL_FIELDS}
    return score_policy(rows, spec, labels, train.usual_objects())


_SCORERS: Mapping[str, Callable[[Sequence[Row], TrainLabels, BootstrapSpec], dict[str, object]]] = {
    "predictions.jsonl": _answers,
    "future_predictions.jsonl": _futures,
    "policy_predictions.jsonl": _policy,
}
FAMILIES = tuple(_SCORERS)
_KEYS = {
    "predictions.jsonl": _ANSWER_KEYS,
    "future_predictions.jsonl": _FUTURE_KEYS,
    "policy_predictions.jsonl": _POLICY_KEYS,
}
