"""Out-of-fold predictions: one row a sample, one column a seed, in the order of the corpus.

Reading gives back exactly the numbers that were written, so metrics recomputed from the file are the metrics of the
run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.backbone.grouped import rows_by_group
from heldout.backbone.probabilities import why_not_probabilities
from heldout.corpus import TargetKind
from heldout.errors import CorpusError
from heldout.task.table import read_table, write_table

_KEYS = ("sample_id", "group", "cell", "fold", "target", "weight")
_NOT_ALWAYS = ("cell", "weight")
SLICE = "slice:"
_TARGET = "target_"  # before the name of one of several
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Predictions:
    """Held-out predictions of all seeds.

    Attributes:
        samples: One row a sample and fold that held it out. Columns sample_id, group, cell (where there are cells),
            fold, target (of several targets ``target_NAME`` for each), weight (where rows have weights), and
            ``slice:NAME`` for every declared slice.
        members: By seed: float64 of shape ``[rows]``, of several targets ``[rows, outputs]``, or ``[rows, classes]``
            probabilities.
        classes: Names of the classes; empty for regression.
    """

    samples: pl.DataFrame
    members: Mapping[int, FloatArray]
    classes: tuple[str, ...] = ()

    @property
    def task(self) -> TargetKind:
        """Regression or classification."""
        return "classification" if self.classes else "regression"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the targets, in order, where there are several; empty for one."""
        return outputs_in(self.samples.columns)

    @property
    def target(self) -> NDArray[Any]:
        """Targets: float64, of several ``[rows, outputs]``, or str for classification."""
        if self.outputs:
            return self.samples.select(_of_outputs("target", self.outputs)).to_numpy().astype(np.float64)
        column = self.samples["target"].to_numpy()
        return column.astype(str) if self.classes else column.astype(np.float64)

    @property
    def weight(self) -> FloatArray | None:
        """How much each row counts, float64 ``[rows]``; None where all count alike."""
        if "weight" not in self.samples.columns:
            return None
        found: FloatArray = self.samples["weight"].to_numpy().astype(np.float64)
        return found

    @property
    def by_fold(self) -> Mapping[str, NDArray[np.int64]]:
        """Row numbers of each fold, ascending, in one pass over the table; of a fold without rows there are none."""
        return defaultdict(lambda: np.zeros(0, dtype=np.int64), rows_by_group(self.samples["fold"]))

    @property
    def firsts(self) -> NDArray[np.int64]:
        """Row number of each sample, once, where several folds held it out."""
        numbered = self.samples.with_row_index("row").unique("sample_id", keep="first", maintain_order=True)
        return numbered["row"].to_numpy().astype(np.int64)

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
        parts = {"prediction": self.ensemble} | ({} if self.sigma is None else {"sigma": self.sigma})
        parts |= {f"seed{seed}": self.members[seed] for seed in sorted(self.members)}
        return self.samples.with_columns(
            pl.Series(name, column) for part, values in parts.items() for name, column in self._named(part, values)
        )

    def _named(self, part: str, values: FloatArray) -> Iterable[tuple[str, FloatArray]]:
        """Columns of numbers with their names: one, or one a target."""
        return zip(_of_outputs(part, self.outputs), values.T if self.outputs else [values], strict=True)

    def _class_frame(self) -> pl.DataFrame:
        columns = []
        for label, scores in [("prediction", self.ensemble), *((f"seed{s}", self.members[s]) for s in self.members)]:
            prefix = "" if label == "prediction" else f"{label}_"
            columns.append(pl.Series(label, [self.classes[code] for code in scores.argmax(axis=1)]))
            columns += [pl.Series(f"{prefix}p_{name}", scores[:, code]) for code, name in enumerate(self.classes)]
        return self.samples.with_columns(columns)

    def write(self, folder: Path) -> None:
        """Write the table into a run."""
        write_table(self.to_frame(), folder)


def equal_predictions(a: FloatArray, b: FloatArray) -> bool:
    """Whether two models predict the same, up to rounding; what is not finite is equal to nothing."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return False
    with np.errstate(over="ignore"):  # two huge numbers of opposite sign
        return bool(np.abs(a - b).max(initial=0.0) <= _ROUNDING * np.abs(a).max(initial=0.0))


def read_predictions(path: Path, seeds: Sequence[int], classes: Sequence[str] = ()) -> Predictions:
    """Read predictions as they were written; one that was not finite, and so is null in JSON Lines, is NaN.

    Raises:
        CorpusError: If the file cannot be read, a column is missing, a key or target is null, a sample id repeats in a
            fold, or probabilities are none.
    """
    frame = read_table(path)
    outputs = outputs_in(frame.columns)
    truth = _of_outputs("target", outputs)
    scores = {
        seed: [f"seed{seed}_p_{name}" for name in classes] or _of_outputs(f"seed{seed}", outputs) for seed in seeds
    }
    keys = [key for key in _KEYS if key in frame.columns or key not in _NOT_ALWAYS]
    keys = [each for key in keys for each in (truth if key == "target" else [key])]
    numbers = [name for names in scores.values() for name in names]
    _check_columns(frame, keys, numbers if classes else [*numbers, *truth], path)
    members = {}
    for seed, names in scores.items():
        values = frame.select(pl.col(names).cast(pl.Float64)).to_numpy()
        wrong = why_not_probabilities(values, classes, finite_only=False) if classes else None
        if wrong is not None:
            what = f"seed {seed}: these are no probabilities: {wrong}"
            raise CorpusError(what, where=str(path), hint="re-run the study")
        members[seed] = values if classes or outputs else values[:, 0]
    if "weight" in keys:
        frame = frame.with_columns(_weights(frame["weight"], path))
    samples = frame.select([*keys, *(name for name in frame.columns if name.startswith(SLICE))])
    target_type = pl.String if classes else pl.Float64
    return Predictions(samples.with_columns(pl.col(truth).cast(target_type)), members, tuple(classes))


def outputs_in(columns: Sequence[str]) -> tuple[str, ...]:
    """Of the columns of a table of predictions, the names of its targets where there are several."""
    if "target" in columns:
        return ()
    return tuple(name.removeprefix(_TARGET) for name in columns if name.startswith(_TARGET))


def target_columns(target: NDArray[Any], outputs: Sequence[str] = ()) -> dict[str, pl.Series]:
    """The columns of the targets, by name.

    Args:
        target: ``[rows]``, or of several ``[rows, outputs]``.
        outputs: Names of several.
    """
    columns = target.T if outputs else [target]
    return {name: pl.Series(each) for name, each in zip(_of_outputs("target", outputs), columns, strict=True)}


def _of_outputs(part: str, outputs: Sequence[str]) -> list[str]:
    """Names of the columns of one thing, such as a seed: its own, or one a target."""
    return [f"{part}_{name}" for name in outputs] or [part]


def _check_columns(frame: pl.DataFrame, keys: Sequence[str], numbers: Sequence[str], path: Path) -> None:
    missing = [name for name in (*keys, *numbers) if name not in frame.columns]
    if missing:
        raise CorpusError(f"column {missing[0]!r} is missing", where=str(path), hint="re-run the study")
    for key in keys:
        if frame[key].has_nulls():
            row = int(frame[key].is_null().arg_max() or 0) + 1
            raise CorpusError(f"{key!r} is null", where=f"{path}:{row}", hint="re-run the study")
    for name in numbers:
        kind = frame.schema[name]
        if not kind.is_numeric() and kind != pl.Null:  # where not one number of the column was finite
            raise CorpusError(f"column {name!r} holds no numbers", where=str(path), hint="re-run the study")
    if frame.select(pl.struct("sample_id", "fold").is_duplicated().any()).item():
        raise CorpusError("a sample id repeats", where=str(path), hint="re-run the study", code="HO-G004")


def _weights(column: pl.Series, path: Path) -> pl.Series:
    """The weights as numbers that can count.

    Raises:
        CorpusError: If one cannot.
    """
    values = column.cast(pl.Float64, strict=False)
    bad = (values < 0) | ~values.is_finite() | values.is_null()
    if bad.any():
        row = int(bad.arg_max() or 0)
        what = f"a weight is {column[row]!r}, not a number from 0 on"
        raise CorpusError(what, where=f"{path}:{row + 1}", hint="re-run the study")
    return values
