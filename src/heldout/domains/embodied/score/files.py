"""The files that a contract requires of an evaluation, made of what was scored. The same rows give the same bytes."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from heldout.domains.embodied.contract.file_schemas import breaches
from heldout.domains.embodied.score.metrics_answers import Answers, confusion, per_class_rows
from heldout.domains.embodied.score.metrics_policy import ERRORS, trajectory_table
from heldout.domains.embodied.score.report import FrameReader, markdown, page
from heldout.domains.embodied.score.rules import files_rule
from heldout.domains.embodied.score.score import FAMILIES, Scored
from heldout.evidence import canonical, dumps, sha256_bytes, write_bytes
from heldout.printable import printable_lines

_PREDICTION_COLUMNS = (
    "id",
    "target",
    "split",
    "episode_id",
    "center_window",
    "true_label",
    "raw_prediction",
    "predicted_label",
    "correct",
    "true_label_seen_in_train",
)
_EXAMPLES = 20
TRAIN_FILE, CONTRACT_FILE = "train_labels.json", "contract.json"
CARRIED = (TRAIN_FILE, CONTRACT_FILE)
"""What a verdict rests on beside the rows: written with every evaluation, so that it can be verified elsewhere."""
_REPORT = "RUN_REPORT.md"
Row = Mapping[str, Any]


def outputs(
    scored: Scored, frames: FrameReader | None = None, beside: Mapping[str, bytes] | None = None
) -> tuple[Scored, dict[str, bytes]]:
    """Every required file that is known here and ``report.html``, and the scoring with the rule that all are there.

    Args:
        scored: Without that rule.
        frames: Reads the last picture of a window.
        beside: Files that nobody here can make, such as what a server says of itself.
    """
    config, required = scored.contract.config, scored.contract.artifacts["required_eval_files"]
    made = {name: _MAKERS[name](scored) for name in dict.fromkeys([*required, *CARRIED]) if name in _MAKERS}
    files = dict(beside or {}) | made
    broken = [str(one) for name in required if name in files for one in breaches(config, name, files[name])]
    judged = replace(scored, rules=[*scored.rules, files_rule(required, files, broken)])
    if _REPORT in files:
        files[_REPORT] = printable_lines(markdown(judged)).encode()
    return judged, files | {"report.html": printable_lines(page(judged, frames)).encode()}


def write_files(folder: Path, files: Mapping[str, bytes]) -> dict[str, str]:
    """Write them, each atomically; return their digests."""
    for name, data in files.items():
        write_bytes(folder / name, data)
    return {name: sha256_bytes(data) for name, data in files.items()}


def json_lines(rows: Iterable[Row]) -> bytes:
    """Rows as strict JSON lines."""
    return b"".join(canonical(row) + b"\n" for row in rows)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A CSV file."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return buffer.getvalue().encode()


def _cell(value: Any) -> Any:
    """A value as it stands in a table: numbers in full, documents as JSON, nothing as nothing.

    What a spreadsheet would run as a formula is kept from it by an apostrophe.
    """
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return "" if value is None else repr(value) if isinstance(value, float) else value


def _picked(columns: Sequence[str], rows: Iterable[Row]) -> bytes:
    return table(columns, ([row.get(name) for name in columns] for row in rows))


def _answers(scored: Scored) -> Answers:
    return Answers(scored.rows, scored.train, scored.spec)


def _per_class(scored: Scored) -> bytes:
    columns = ("class_name", "support", "predicted", "precision", "recall", "f1")
    return _picked(columns, per_class_rows(_answers(scored)))


def _confusion(scored: Scored) -> bytes:
    names, counts = confusion(_answers(scored))
    return _matrix(names, counts)


def _matrix(names: Sequence[str], counts: Sequence[Sequence[int]]) -> bytes:
    rows = ([name, *line] for name, line in zip(names, counts, strict=True))
    return table(["true\\pred", *names], rows)


def _rankings(scored: Scored) -> bytes:
    """Candidates that are known: the ranking of a row, or else the best one and the true one."""
    columns = ("id", "rank", "candidate_id", "candidate_future_record_id", "candidate_episode_id", "distance")

    def lines() -> Iterable[Sequence[Any]]:
        for row in scored.rows:
            ranking = (
                row.get("ranking")
                or [
                    {"rank": 1, "candidate_future_record_id": row["pred_future_record_id"]}
                    | {"distance": row.get("distance_to_pred")},
                    {"rank": row["rank"], "candidate_future_record_id": row["future_record_id"]}
                    | {"distance": row.get("distance_to_true")},
                ][: 1 if row["rank"] == 1 else 2]
            )
            for number, one in enumerate(ranking, start=1):
                values = [row["id"], one.get("rank", number), *(one.get(name) for name in columns[2:])]
                yield [*values, int(one["candidate_future_record_id"] == row["future_record_id"])]

    return table([*columns, "is_true_future"], lines())


def _temporal(scored: Scored) -> bytes:
    by_episode: dict[str, list[Row]] = defaultdict(list)
    for row in scored.rows:
        by_episode[str(row["episode_id"])].append(row)
    lines = (
        [
            name,
            len(rows),
            float(np.mean([1 / row["rank"] for row in rows])),
            float(np.mean([row["rank"] <= 5 for row in rows])),
            float(np.mean([row["feature_reconstruction_error"] for row in rows])),
        ]
        for name, rows in sorted(by_episode.items())
    )
    return table(["episode_id", "num_queries", "mrr", "recall_at_5", "mean_feature_reconstruction_error"], lines)


def _qualitative(scored: Scored) -> bytes:
    """The best and the worst ranks, and not the first rows of the file."""
    order = sorted(range(len(scored.rows)), key=lambda place: (scored.rows[place]["rank"], place))
    half = _EXAMPLES // 2
    best, worst = order[:half], order[half:][-half:]
    documents = {name: [scored.rows[p] for p in places] for name, places in (("best", best), ("worst", worst))}
    return dumps({"schema": "heldout.qualitative-examples/1", "chosen": "best and worst ranks"} | documents)


def _trajectories(scored: Scored) -> bytes:
    return _picked(("id", "episode_id", "contender", *ERRORS), trajectory_table(scored.rows))


def _action_confusion(scored: Scored) -> bytes:
    pairs = [(str(row["true"].get("action")), str(row["pred"].get("action"))) for row in scored.rows]
    names = sorted({name for pair in pairs for name in pair})
    return _matrix(names, [[pairs.count((true, said)) for said in names] for true in names])


def _retargeting(scored: Scored) -> bytes:
    """Which rows hold an action that was converted for another body, and by what."""
    named = [row["retargeting"] for row in scored.rows if isinstance(row.get("retargeting"), dict)]
    conversions = sorted({str(one.get("conversion")) for one in named})
    document = {"schema": "heldout.retargeting-audit/1", "rows": len(scored.rows), "retargeted_rows": len(named)}
    why = None if named else "no row holds a converted action: no metric here is about one"
    return dumps(document | {"conversions": conversions, "why_none": why})


_MAKERS: Mapping[str, Callable[[Scored], bytes]] = {
    "metrics.json": lambda scored: dumps(scored.metrics),
    TRAIN_FILE: lambda scored: dumps(scored.train.to_json()),
    CONTRACT_FILE: lambda scored: dumps(dict(scored.contract.config)),
    "predictions.jsonl": lambda scored: json_lines(scored.rows),
    "predictions.csv": lambda scored: _picked(_PREDICTION_COLUMNS, scored.rows),
    "per_class_metrics.csv": _per_class,
    "confusion_matrix.csv": _confusion,
    "future_predictions.jsonl": lambda scored: json_lines(scored.rows),
    "retrieval_rankings.csv": _rankings,
    "temporal_consistency.csv": _temporal,
    "qualitative_examples.json": _qualitative,
    "policy_predictions.jsonl": lambda scored: json_lines(scored.rows),
    "trajectory_metrics.csv": _trajectories,
    "action_confusion_matrix.csv": _action_confusion,
    "retargeting_audit.json": _retargeting,
    _REPORT: lambda scored: printable_lines(markdown(scored)).encode(),
}
MAKES = frozenset(_MAKERS)
# Made of rows, train counts and metrics alone; reports hold words besides, and another audit may stand in for ours.
_TABLES = MAKES - {"metrics.json", *CARRIED, *FAMILIES, "retargeting_audit.json", _REPORT}


def table_makers() -> dict[str, Callable[[Scored], bytes]]:
    """Makers of the tables that follow from rows, train counts and metrics alone, by name."""
    return {name: _MAKERS[name] for name in sorted(_TABLES)}
