"""Out-of-fold predictions: one row a sample, one column a seed, in the order of the corpus.

On disk they are ``predictions.jsonl`` (and the same as CSV). Reading gives back exactly the numbers that were
written, so metrics recomputed from the file are the metrics of the run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.backbone.grouped import rows_by_group
from heldout.corpus import Task
from heldout.documents.names import PREDICTIONS_CSV, PREDICTIONS_FILE
from heldout.errors import CorpusError
from heldout.evidence import atomic_path, plain_path
from heldout.task.probabilities import why_not_probabilities

_KEYS = ("sample_id", "group", "cell", "fold", "target")
SLICE = "slice:"
_ROUNDING = 1e-12
_FORMULA = r"^'*[=+\-@\t\r\n＝＋－＠]"


@dataclass(frozen=True)
class Predictions:
    """Held-out predictions of all seeds.

    Attributes:
        samples: One row a sample and fold that held it out. Columns sample_id, group, cell (where there are cells),
            fold, target, and ``slice:NAME`` for every declared slice.
        members: By seed: float64 of shape ``[rows]``, or ``[rows, classes]`` probabilities.
        classes: Names of the classes; empty for regression.
    """

    samples: pl.DataFrame
    members: Mapping[int, FloatArray]
    classes: tuple[str, ...] = ()

    @property
    def task(self) -> Task:
        """Regression or classification."""
        return "classification" if self.classes else "regression"

    @property
    def target(self) -> NDArray[Any]:
        """Targets: float64, or str for classification."""
        column = self.samples["target"].to_numpy()
        return column.astype(str) if self.classes else column.astype(np.float64)

    @property
    def by_fold(self) -> Mapping[str, NDArray[np.int64]]:
        """Row numbers of each fold, ascending, in one pass over the table; of a fold without rows there are none."""
        return defaultdict(lambda: np.zeros(0, dtype=np.int64), rows_by_group(self.samples["fold"]))

    @property
    def slices(self) -> dict[str, NDArray[np.str_]]:
        """Value of every declared slice, by name: str of shape ``[rows]``."""
        names = [name for name in self.samples.columns if name.startswith(SLICE)]
        return {name.removeprefix(SLICE): self.samples[name].to_numpy().astype(str) for name in names}

    @property
    def ensemble(self) -> FloatArray:
        """Mean over the seeds, of the shape of a member."""
        mean: FloatArray = np.mean(np.stack([self.members[seed] for seed in sorted(self.members)]), axis=0)
        return mean

    @property
    def sigma(self) -> FloatArray | None:
        """Standard deviation over the seeds (ddof 1), shape ``[rows]``; None for one seed or for classes."""
        if self.classes or len(self.members) < 2:
            return None
        with np.errstate(invalid="ignore"):  # the spread of an infinite prediction is NaN
            spread: FloatArray = np.std(np.stack([self.members[seed] for seed in sorted(self.members)]), axis=0, ddof=1)
        return spread

    @property
    def copies(self) -> dict[int, int]:
        """Seeds that predict what an earlier one predicts, by seed: the earlier one. They are one model, counted once.

        Equal is equal up to rounding: another order of the same sum makes no other model. A prediction that is not
        finite is equal to nothing.
        """
        found: dict[int, int] = {}
        firsts: list[int] = []
        for seed in sorted(self.members):
            twin = next((first for first in firsts if equal_predictions(self.members[first], self.members[seed])), None)
            if twin is None:
                firsts.append(seed)
            else:
                found[seed] = twin
        return found

    def copy_of(self, values: FloatArray) -> bool:
        """Whether the mean over the seeds is these predictions, up to rounding."""
        return equal_predictions(values, self.ensemble)

    def without(self, seeds: Collection[int]) -> Predictions:
        """The same predictions without some seeds."""
        return replace(self, members={seed: values for seed, values in self.members.items() if seed not in seeds})

    def to_frame(self) -> pl.DataFrame:
        """The table as it stands on disk."""
        if self.classes:
            return self._class_frame()
        columns = [pl.Series("prediction", self.ensemble)]
        if self.sigma is not None:
            columns.append(pl.Series("sigma", self.sigma))
        columns += [pl.Series(f"seed{seed}", self.members[seed]) for seed in sorted(self.members)]
        return self.samples.with_columns(columns)

    def _class_frame(self) -> pl.DataFrame:
        columns = []
        for label, scores in [("prediction", self.ensemble), *((f"seed{s}", self.members[s]) for s in self.members)]:
            prefix = "" if label == "prediction" else f"{label}_"
            columns.append(pl.Series(label, [self.classes[code] for code in scores.argmax(axis=1)]))
            columns += [pl.Series(f"{prefix}p_{name}", scores[:, code]) for code, name in enumerate(self.classes)]
        return self.samples.with_columns(columns)

    def write(self, folder: Path) -> None:
        """Write ``predictions.jsonl`` and ``predictions.csv``, each atomically."""
        frame = self.to_frame()
        with atomic_path(folder / PREDICTIONS_FILE) as path:
            frame.write_ndjson(path)
        with atomic_path(folder / PREDICTIONS_CSV) as path:
            safe_for_spreadsheets(frame).write_csv(path)


def safe_for_spreadsheets(frame: pl.DataFrame) -> pl.DataFrame:
    """The table with an apostrophe before each text that a spreadsheet would run as a formula; numbers stay.

    A text that has apostrophes before such a sign gets one more, so that taking one off gives back what was there.
    """
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    return frame.with_columns(
        pl.when(pl.col(name).str.contains(_FORMULA) & pl.col(name).cast(pl.Float64, strict=False).is_null())
        .then(pl.lit("'") + pl.col(name))
        .otherwise(pl.col(name))
        .alias(name)
        for name in texts
    )


def equal_predictions(a: FloatArray, b: FloatArray) -> bool:
    """Whether two models predict the same, up to rounding; what is not finite is equal to nothing."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return False
    with np.errstate(over="ignore"):  # two huge numbers of opposite sign
        return bool(np.abs(a - b).max(initial=0.0) <= _ROUNDING * np.abs(a).max(initial=0.0))


def read_predictions(path: Path, seeds: Sequence[int], classes: Sequence[str] = ()) -> Predictions:
    """Read ``predictions.jsonl`` as it was written; a prediction that was not finite, and so is null there, is NaN.

    Raises:
        CorpusError: If the file cannot be read, a column is missing, a key or target is null, a sample id repeats in a
            fold, or probabilities are none.
    """
    try:
        frame = pl.read_ndjson(plain_path(path), infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise CorpusError(
            f"the predictions cannot be read: {str(error).splitlines()[0]}", where=str(path), hint="re-run the study"
        ) from None
    scores = {seed: [f"seed{seed}_p_{name}" for name in classes] or [f"seed{seed}"] for seed in seeds}
    keys = [key for key in _KEYS if key in frame.columns or key != "cell"]
    missing = [
        name for name in [*keys, *(name for names in scores.values() for name in names)] if name not in frame.columns
    ]
    if missing:
        raise CorpusError(f"column {missing[0]!r} is missing", where=str(path), hint="re-run the study")
    for key in keys:
        if frame[key].has_nulls():
            row = int(frame[key].is_null().arg_max() or 0) + 1
            raise CorpusError(f"{key!r} is null", where=f"{path}:{row}", hint="re-run the study")
    if frame.select(pl.struct("sample_id", "fold").is_duplicated().any()).item():
        raise CorpusError("a sample id repeats", where=str(path), hint="re-run the study", code="HO-G004")
    members = {}
    for seed, names in scores.items():
        values = frame.select(pl.col(names).cast(pl.Float64)).to_numpy()
        wrong = why_not_probabilities(values, classes, finite_only=False) if classes else None
        if wrong is not None:
            what = f"seed {seed}: these are no probabilities: {wrong}"
            raise CorpusError(what, where=str(path), hint="re-run the study")
        members[seed] = values if classes else values[:, 0]
    samples = frame.select([*keys, *(name for name in frame.columns if name.startswith(SLICE))])
    target_type = pl.String if classes else pl.Float64
    return Predictions(samples.with_columns(pl.col("target").cast(target_type)), members, tuple(classes))
