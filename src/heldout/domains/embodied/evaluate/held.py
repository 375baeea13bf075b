"""Predictions that somebody brought, held to the windows of an index: whose windows they are, all of them, their truth.

A row says itself of which split it is and what is true. Only an index says whether that is so. A verdict without one is
of numbers alone and promotes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from heldout.domains.embodied.episodes.labels import LABEL_FIELDS, objects_of
from heldout.domains.embodied.episodes.observed import opened
from heldout.domains.embodied.index.heads import Head
from heldout.domains.embodied.index.known import Truth, answer_of
from heldout.domains.embodied.index.shape import Record
from heldout.domains.embodied.index.source import IndexSource
from heldout.errors import HeldoutError, InputError
from heldout.gate.outcome import RuleOutcome
from heldout.predict.session import Sample

RULE = "held-out"
NO_INDEX = "no index shows that these windows were held out, or what is true of them: give --index"
Row = Mapping[str, Any]
_FUTURES = "future_predictions.jsonl"
_LENGTH = 1e-6  # metres; published rows have seven digits


def held_rule(why: str | None, index_sha256: str | None) -> RuleOutcome:
    """The rule ``held-out``.

    Args:
        why: What is not shown; None if all is.
        index_sha256: Digest of the index that shows it.
    """
    bound = "shown by a window index"
    words = f"windows and truths are those of the index {str(index_sha256)[:12]}, and none is missing"
    return RuleOutcome.of(RULE, None if why else True, None, bound, why or words)


@dataclass(frozen=True)
class Brought:
    """Rows, and the index that they are held to.

    Attributes:
        source: The index.
        family: Name of the file of predictions, which says what a row is.
        rows: In the published format.
        where: The file, for messages.
    """

    source: IndexSource
    family: str
    rows: Sequence[Row]
    where: str

    @cached_property
    def _heads(self) -> dict[str, Head]:
        heads = list(self.source.heads())
        found = {head.id: head for head in heads}
        if len(found) < len(heads):
            raise InputError("windows of the index have one id", where=str(self.source.folder), hint="build it again")
        return found

    @cached_property
    def split(self) -> str:
        """The split of the rows; nothing sealed is opened for it.

        Raises:
            InputError: At a row that is not of this index or of another split than it says, at two rows of one window,
                or if a window of the split has none.
        """
        splits: dict[str, str] = {}
        for row in self.rows:
            for name in self._names(row):
                splits.setdefault(self._head(row, name).split, name)
        if len(splits) > 1:
            what = "the rows are of " + " and ".join(f"{split} ({name})" for split, name in sorted(splits.items()))
            raise InputError(what, where=self.where, hint="score the windows of one split")
        split = next(iter(splits))
        self._check_complete([head for head in self._heads.values() if head.split == split])
        return split

    def why_not_held(self, truth: Truth) -> str | None:
        """See that the rows state what is true; why that is not shown of all that they state, or None.

        Raises:
            InputError: At the first row that states another truth than the index.
        """
        for row in self.rows:
            for name, stated, true in _TRUTHS[self.family](row, truth):
                if stated != true:
                    raise self._refused(row, f"{name} is not what the index says")  # a sealed answer is not told
        paths = [row for row in self.rows if row.get("true_trajectory") is not None]
        other = next((row for row in paths if not self._recorded(row)), None)
        if other is None:
            return None
        return f"the path of {other['id']!r} is not that of the recorded hand: no index shows that it is true"

    def _head(self, row: Row, name: str) -> Head:
        head = self._heads.get(name)
        if head is None:
            raise self._refused(row, f"the index has no window {name!r}")
        if str(row["episode_id"]) != head.episode_id:
            what = f"the window {name!r} is of the episode {head.episode_id!r}, the row says {row['episode_id']!r}"
            raise self._refused(row, what)
        if "split" in row and row["split"] != head.split:
            raise self._refused(row, f"the window {name!r} is of {head.split}, the row says {row['split']!r}")
        return head

    def _names(self, row: Row) -> tuple[str, ...]:
        """Windows that a row is about."""
        if self.family != _FUTURES:
            return (str(row["id"]),)
        if "context_record_id" not in row:
            raise self._refused(row, "the row names no window: context_record_id is not there")
        return str(row["context_record_id"]), str(row["future_record_id"])

    def _check_complete(self, heads: Sequence[Head]) -> None:
        """See that every window of the split is there, once; of futures every pair of the one horizon."""
        seen = Counter(self._names(row)[0] for row in self.rows)
        twice = next((name for name, count in seen.items() if count > 1), None)
        if twice is not None:
            raise InputError(f"the window {twice!r} has two rows", where=self.where, hint="keep one", code="HO-G004")
        wanted = self._contexts(heads) if self.family == _FUTURES else [head.id for head in heads]
        missing = sorted(set(wanted) - set(seen))
        if missing:
            what = f"{len(missing)} of {len(wanted)} windows have no prediction, such as {missing[0]!r}"
            hint = "predict every window of the split: what is left out may be the hardest"
            raise InputError(what, where=self.where, hint=hint)

    def _contexts(self, heads: Sequence[Head]) -> list[str]:
        """Windows that have a future at the horizon of the rows.

        Raises:
            InputError: If a future is none, or the rows have several horizons.
        """
        spans = {name: _span(record) for name, record in self._records(heads)}
        shifts: set[int] = set()
        for row in self.rows:
            here, there = (spans[name] for name in self._names(row))
            shift = there[2] - here[2]
            if here[:2] != there[:2] or there[3] - here[3] != shift or shift < 1:
                raise self._refused(row, "the future is no later window of the same episode and length")
            shifts.add(shift)
        if len(shifts) > 1:
            what = f"the futures begin {' and '.join(map(str, sorted(shifts)))} frames later"
            raise InputError(what, where=self.where, hint="score futures of one horizon")
        shift, known = shifts.pop(), set(spans.values())
        return [name for name, one in spans.items() if (*one[:2], one[2] + shift, one[3] + shift) in known]

    def _records(self, heads: Sequence[Head]) -> Iterable[tuple[str, Record]]:
        samples = [Sample(head.id, head.episode_id, (head.offset, head.length)) for head in heads]
        return zip((head.id for head in heads), self.source.records(samples), strict=True)

    def _recorded(self, row: Row) -> bool:
        """Whether a row's path, and what it begins with, are those of the hand in the recorded episode."""
        from heldout.domains.embodied.episodes.paths import Chunks, hand_path, last_place

        _, record = next(iter(self._records([self._heads[str(row["id"])]])))
        try:
            folder = Path(self.source.folder / str(record["provenance"]["episode_path"])).resolve()
            episode, frame = opened(folder), int(record["window"]["end_frame"])
            chunks = Chunks(path=len(row["true_trajectory"]))
            path, (place, velocity) = hand_path(episode, chunks, frame), last_place(episode, chunks, frame)
            stated = (row["true_trajectory"], row.get("last_points"), row.get("last_velocity"))
            expected = (None if path is None else path[:, None], place[None], velocity[None])
            return all(one is None or _close(one, other) for one, other in zip(stated, expected, strict=True))
        except (HeldoutError, KeyError, TypeError, ValueError, OverflowError):
            return False

    def _refused(self, row: Row, what: str) -> InputError:
        hint = "score predictions of the windows of this index, as it states them"
        return InputError(what, where=f"{self.where}: {row['id']}", hint=hint)


def _span(record: Record) -> tuple[str, str, int, int]:
    window = record["window"]
    place = str(record["episode_id"]), str(record.get("scale_id", ""))
    return *place, int(window["start_frame"]), int(window["end_frame"])


def _close(stated: Any, true: Any) -> bool:
    if true is None:
        return False
    mine, other = np.asarray(stated, dtype=np.float64), np.asarray(true, dtype=np.float64)
    return mine.shape == other.shape and bool(np.all(np.abs(mine - other) <= _LENGTH * np.maximum(1.0, np.abs(other))))


def _of_answers(row: Row, truth: Truth) -> Iterable[tuple[str, Any, Any]]:
    true, stated = answer_of(truth, str(row["id"])), row["true_json"]
    yield "true_label", row["true_label"], true["action"]
    for field in (*LABEL_FIELDS, "evidence_window"):
        yield f"true_json/{field}", stated.get(field), true.get(field)
    yield "true_json/objects", sorted(objects_of(stated)), sorted(objects_of(true))


def _of_futures(row: Row, truth: Truth) -> Iterable[tuple[str, Any, Any]]:
    true = answer_of(truth, str(row["future_record_id"]))
    for field in ("action", "transition", "contact"):
        yield f"true_{field}", row.get(f"true_{field}"), true.get(field)


def _of_policy(row: Row, truth: Truth) -> Iterable[tuple[str, Any, Any]]:
    true, stated = answer_of(truth, str(row["id"])), row["true"]
    for field in ("action", "next_action", "contact"):
        yield f"true/{field}", stated.get(field), true.get(field)
    yield "true/objects", sorted(objects_of(stated)), sorted(objects_of(true))


_TRUTHS: Mapping[str, Callable[[Row, Truth], Iterable[tuple[str, Any, Any]]]] = {
    "predictions.jsonl": _of_answers,
    _FUTURES: _of_futures,
    "policy_predictions.jsonl": _of_policy,
}
