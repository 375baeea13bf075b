"""Answers of a unit as they come in: a partial file in its folder, of which a kill costs the batch under way.

Before, during and after a crash there is one invariant: the file holds batches of one identity, in the order of the
rows and without a gap, each with the exact bits that were answered. One of another model, corpus, fold, code or package
is thrown away and never gone on with; how many rows were asked at once is no part of what it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np

from heldout.backbone import ClassScores, FloatArray
from heldout.backbone.asked import Answers
from heldout.errors import HeldoutError
from heldout.predict.identity import Identity
from heldout.predict.partial import PARTIAL_FILE, PartialWriter, read_partial


class Record(msgspec.Struct):
    """One batch in the file: its first row, labels, and each row's numbers as hexadecimal floats, NaN too."""

    id: str
    start: int
    classes: list[str]
    values: list[list[str]]
    warnings: list[str]


class Kept(NamedTuple):
    """What a file held that can be gone on with.

    Attributes:
        batches: In order, from the first row on.
        why_not: Why others were thrown away; None if none were.
    """

    batches: list[Answers]
    why_not: str | None


class Collected:
    """The answers of one unit, on disk and in memory."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        """Open the file of a unit's folder, and take over what belongs there."""
        self.path = folder / PARTIAL_FILE
        kept = _kept(self.path, identity)
        self.batches, self.why_not = kept
        self.rows = sum(_count(each.predicted) for each in kept.batches)  # that are answered
        if kept.why_not is not None:
            self.path.unlink(missing_ok=True)
        self._identity = identity
        self._writer = PartialWriter(self.path, identity)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Close the file; it stays."""
        self._writer.close()

    def append(self, answers: Answers) -> None:
        """Put a batch on disk, behind those that are there."""
        start, predicted = self.rows, answers.predicted
        values = np.asarray(predicted.probability if isinstance(predicted, ClassScores) else predicted)
        table = values.reshape(len(values), -1).astype(np.float64)
        words = [[float(number).hex() for number in row] for row in table]
        classes = list(predicted.classes) if isinstance(predicted, ClassScores) else []
        record: Mapping[str, Any] = {"start": start, "classes": classes, "values": words, "warnings": answers.warnings}
        self._writer.append({"id": str(start)} | dict(record))
        self.batches.append(answers)
        self.rows += len(table)

    def discard(self) -> None:
        """Throw everything away."""
        self._writer.close()
        self.path.unlink(missing_ok=True)
        self.batches, self.rows = [], 0

    def joined(self) -> Answers:
        """All answers as one, with every warning once."""
        warnings = sorted({word for each in self.batches for word in each.warnings})
        return Answers(_joined([each.predicted for each in self.batches]), warnings)


def _kept(path: Path, identity: Identity) -> Kept:
    try:
        rows = read_partial(path, identity).rows
        records = sorted(
            (msgspec.json.decode(each, type=Record) for each in rows.values()), key=lambda each: each.start
        )
        batches: list[Answers] = []
        reached = 0
        for each in records:
            if each.start != reached or not each.values or each.id != str(each.start):
                return Kept([], "there is a gap in them")
            batches.append(Answers(_predicted(each), each.warnings))
            reached += len(each.values)
    except (HeldoutError, msgspec.MsgspecError, ValueError, OverflowError) as error:
        return Kept([], error.what if isinstance(error, HeldoutError) else f"they are damaged: {error}")
    return Kept(batches, None)


def _predicted(record: Record) -> FloatArray | ClassScores:
    values = np.array([[float.fromhex(word) for word in row] for row in record.values], dtype=np.float64)
    return ClassScores(tuple(record.classes), values) if record.classes else values.reshape(-1)


def _joined(parts: Sequence[FloatArray | ClassScores]) -> FloatArray | ClassScores:
    first = parts[0]
    if not isinstance(first, ClassScores):
        return np.concatenate([np.asarray(each) for each in parts])
    probability = [each.probability for each in parts if isinstance(each, ClassScores)]
    return ClassScores(first.classes, np.concatenate(probability))


def _count(predicted: FloatArray | ClassScores) -> int:
    return len(predicted.probability if isinstance(predicted, ClassScores) else predicted)
