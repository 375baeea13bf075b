"""A published run, read as a run: what models predicted comes from the tables, since the models stayed at home."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.documents.names import UNIT_FILE
from heldout.evidence import read_json
from heldout.run.layout import RunFolder
from heldout.task import Predictions, read_predictions
from heldout.task.table import table_bytes, table_in
from heldout.verify.evidence import RunEvidence, StoredUnit


def baseline_tables(evidence: RunEvidence) -> dict[str, bytes]:
    """Held-out predictions of every complete baseline, by the name of their file in a package.

    The run keeps them beside the baselines' models; without them no comparison could be computed again.
    """
    tables = {}
    for name, (_, _, seeds) in evidence.contenders.items():
        units = evidence.units(name) if name else {}
        if name and len(units) == len(seeds) * len(evidence.split.folds):
            table, data = table_bytes(_assembled(evidence, units).to_frame())
            tables[f"baselines/{name}/{table}"] = data
    return tables


@dataclass(frozen=True)
class PublishedRun(RunEvidence):
    """The documents of a run as they were published."""

    with_models = False

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Classes, as the metrics name them: only the models knew them otherwise."""
        return tuple(self.metrics["classes"])

    @cached_property
    def _units(self) -> dict[str, dict[tuple[int, str], StoredUnit]]:
        """Fits, by their records and the rows that the tables hold of them."""
        found: dict[str, dict[tuple[int, str], StoredUnit]] = {}
        for name, (_, _, seeds) in self.contenders.items():
            table = self._table(name, seeds)
            by_fold = {} if table is None else table.by_fold
            folders = {
                (seed, fold.id): RunFolder(self.folder).unit(seed, fold.id, name or None)
                for seed in seeds
                for fold in self.split.folds
            }
            found[name] = {
                key: self._unit(folder, table, key[0], by_fold[key[1]])
                for key, folder in folders.items()
                if table is not None and (folder / UNIT_FILE).exists()
            }
        return found

    def _table(self, name: str, seeds: tuple[int, ...]) -> Predictions | None:
        if not name:
            return self.predictions
        path = table_in(self.folder / "baselines" / name)
        return read_predictions(path, seeds, self.classes) if path.exists() else None

    def _unit(self, folder: Path, table: Predictions, seed: int, rows: NDArray[np.int64]) -> StoredUnit:
        document = read_json(folder / UNIT_FILE)
        prediction = table.members[seed][rows]
        if self.classes:
            prediction = prediction[:, [self.classes.index(label) for label in document["classes"]]]
        return StoredUnit(folder, document, prediction)


def _assembled(evidence: RunEvidence, units: Mapping[tuple[int, str], StoredUnit]) -> Predictions:
    """Predictions of a baseline, over the rows of the variant's own."""
    mine = evidence.predictions
    shape = next(iter(mine.members.values())).shape
    members: dict[int, FloatArray] = {}
    by_fold = mine.by_fold
    for (seed, fold), unit in units.items():
        member = members.setdefault(seed, np.zeros(shape) if evidence.classes else np.full(shape, np.nan))
        rows = by_fold[fold]
        if evidence.classes:
            columns = [evidence.classes.index(label) for label in unit.document["classes"]]
            member[rows[:, None], columns] = unit.prediction
        else:
            member[rows] = unit.prediction
    return Predictions(mine.samples, members, mine.classes)
