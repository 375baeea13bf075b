"""What a published row says of itself: everything in it that follows from the rest of it, or from the other rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from heldout.domains.embodied.score.metrics_future import K
from heldout.domains.embodied.score.score import recomputed
from heldout.domains.embodied.score.train_labels import TrainLabels

Row = Mapping[str, Any]
_FUTURE_LABELS = ("action", "transition", "contact")


class Problem(NamedTuple):
    """A row that contradicts itself or its neighbours.

    Attributes:
        id: Of the row.
        what: What is wrong.
    """

    id: str
    what: str


def problems(family: str, rows: Sequence[Row], train: TrainLabels, *, computed: bool) -> Iterator[Problem]:
    """Every row that says something else than what follows from it.

    Args:
        family: Name of the file of predictions.
        rows: As they were published.
        train: What options there were.
        computed: Whether heldout made the rows. Rankings of another tool follow rules of its own.
    """
    if family == "predictions.jsonl" or computed:
        yield from _LOOKS.get(family, _nothing)(rows, train)


def _nothing(rows: Sequence[Row], train: TrainLabels) -> Iterator[Problem]:
    return iter(())


def _answers(rows: Sequence[Row], train: TrainLabels) -> Iterator[Problem]:
    """The parse, the label, right or wrong, seen or unseen: all follow from the raw prediction and the truth."""
    for row in rows:
        expected = recomputed(row, train)
        for name in ("pred_json", "predicted_label", "correct", "true_label_seen_in_train"):
            if row.get(name) != expected[name]:
                what = f"{name} is {_shown(row.get(name))}; the row's own text and truth give {_shown(expected[name])}"
                yield Problem(str(row["id"]), what)


def _futures(rows: Sequence[Row], train: TrainLabels) -> Iterator[Problem]:
    """The rank, the best candidate and its labels: they follow from the ranking and from the other rows."""
    by_id = {str(row["id"]): row for row in rows}
    for row in rows:
        for name, stated, expected in _of_ranking(row, by_id):
            if stated != expected:
                what = f"{name} is {_shown(stated)}; the ranking and the other rows give {_shown(expected)}"
                yield Problem(str(row["id"]), what)


def _of_ranking(row: Row, by_id: Mapping[str, Row]) -> Iterator[tuple[str, Any, Any]]:
    """Names of what follows from a row's ranking, what is stated, and what should be."""
    ranking, rank, name = row["ranking"], row["rank"], str(row["id"])
    places = [str(one["candidate_id"]) for one in ranking]
    distances = [one["distance"] for one in ranking]
    yield "ranking", distances, sorted(distances)
    unknown = [place for place in places if place not in by_id]
    yield "candidates of ranking that are no row", unknown, []
    if name in places or rank <= len(places):
        yield "rank", rank, places.index(name) + 1 if name in places else f"more than {len(places)}"
    yield "top_k_hit", row["top_k_hit"], int(rank <= K)
    yield "distance_to_pred", row["distance_to_pred"], distances[0]
    if rank <= len(distances):
        yield "distance_to_true", row["distance_to_true"], distances[rank - 1]
    if places[0] not in by_id:
        return
    best = by_id[places[0]]
    yield "pred_future_record_id", row["pred_future_record_id"], best["future_record_id"]
    yield "pred_episode_id", row["pred_episode_id"], best["episode_id"]
    for field in _FUTURE_LABELS:
        yield f"pred_{field}", row[f"pred_{field}"], best[f"true_{field}"]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


_LOOKS: Mapping[str, Callable[[Sequence[Row], TrainLabels], Iterator[Problem]]] = {
    "predictions.jsonl": _answers,
    "future_predictions.jsonl": _futures,
}
