"""One arm in one vintage: fitted on what was known before it, its score of selection, its predictions of the vintage.

A unit of work is a function of digests: the panel, the arm, the vintage and the code. What is there is not done again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from heldout.backbone import Backbone, FeaturesView, FloatArray
from heldout.corpus import Corpus
from heldout.domains.market.board.scoring import rank_ic
from heldout.domains.market.panel.options import PanelOptions
from heldout.domains.market.panel.panel import Matrix, Panel, read_panel
from heldout.domains.market.panel.reader import MarketPanelReader
from heldout.domains.market.panel.rows import Rows, build_rows
from heldout.domains.market.replay.vintages import Vintage
from heldout.errors import CorpusError
from heldout.evidence import atomic_path, digest, plain_path
from heldout.evidence.provenance import code_digest
from heldout.run.units.unit import stream_seed, test_view, train_view
from heldout.split import Fold, Splitter, split_corpus

SCHEMA = "heldout.relived/1"


@dataclass(frozen=True)
class ReplayArm:
    """A recipe that is refitted for every vintage.

    Attributes:
        id: Its name.
        description: For the table.
        options: Of the panel: its features and its label.
        backbone: Bound to its parameters.
        seeds: Its predictions are the mean over these.
        null: Noise by construction.
    """

    id: str
    description: str
    options: PanelOptions
    backbone: Backbone
    seeds: tuple[int, ...]
    null: bool = False


@dataclass(frozen=True)
class Task:
    """One arm in one vintage.

    Attributes:
        arm: The arm.
        vintage: When.
        horizon: Dates that the scorer's outcome takes to mature; the same for all arms.
        selection: The folds whose held-out rank IC is the naive rule's score of selection.
        panel_sha256: Digest of the panel's file.
        folder: Where results are kept.
    """

    arm: ReplayArm
    vintage: Vintage
    horizon: int
    selection: Splitter
    panel_sha256: str
    folder: Path

    @property
    def key(self) -> str:
        """Digest of everything that can change the result."""
        arm = self.arm
        return digest(
            {
                "schema": SCHEMA,
                "panel": self.panel_sha256,
                "corpus": arm.options.identity(),
                "backbone": arm.backbone.name,
                "fit": arm.backbone.params.model_dump(mode="json"),
                "arm": arm.id,
                "seeds": list(arm.seeds),
                "vintage": list(self.vintage),
                "horizon": self.horizon,
                "selection": self.selection.params.model_dump(mode="json"),
                "code": code_digest(),
            }
        )


class Relived(NamedTuple):
    """What came of a task.

    Attributes:
        predictions: ``[dates of the vintage, assets]``; NaN where there is none.
        selection: Mean rank IC over held-out folds of what was known; None where it could not be measured.
        trained: Rows that were fitted on.
        why: Why there is no score of selection.
    """

    predictions: Matrix
    selection: float | None
    trained: int
    why: str


def relive(task: Task) -> Relived:
    """Do a task, or read what it gave before."""
    path = task.folder / f"{task.key[:32]}.safetensors"
    if (kept := _read(path)) is not None:
        return kept
    reader = MarketPanelReader(task.arm.options)
    panel = _panel(reader.options.model_dump_json())
    corpus = reader.known_before(panel, task.vintage.start)
    models = _fitted(task, corpus, Fold(task.vintage.name, ()))  # which holds nothing out
    selection, why = _selection(task, corpus, panel.until(task.vintage.start))
    found = Relived(_coming(task, panel, models), selection, corpus.manifest.rows, why)
    _write(path, found)
    return found


@lru_cache(maxsize=2)
def _panel(options: str) -> Panel:
    return read_panel(PanelOptions.model_validate_json(options))


def _fitted(task: Task, corpus: Corpus, fold: Fold) -> list[Any]:
    """A model a seed; no two vintages, folds or arms share a random stream."""
    view, stream = train_view(corpus, fold), f"{task.arm.id}/{task.vintage.name}/{fold.id}"
    return [task.arm.backbone.fit(view, stream_seed(seed, stream), task.folder / "scratch") for seed in task.arm.seeds]


def _predicted(backbone: Backbone, models: Sequence[Any], features: pl.DataFrame) -> FloatArray:
    """Mean over seeds, float64 ``[rows]``."""
    each = [np.asarray(backbone.predict(model, FeaturesView(features)), dtype=np.float64) for model in models]
    mean: FloatArray = np.mean(np.stack(each), axis=0)
    return mean


def _coming(task: Task, panel: Panel, models: Sequence[Any]) -> Matrix:
    """Predictions of every date of the vintage, each from what was known on it."""
    vintage = task.vintage
    rows: Rows = build_rows(panel.until(vintage.end), task.arm.options)
    chosen = np.flatnonzero(rows.date >= vintage.start)
    found = np.full((vintage.end - vintage.start, len(panel.assets)), np.nan)
    if len(chosen):
        values = _predicted(task.arm.backbone, models, rows.features[chosen])
        found[rows.date[chosen] - vintage.start, rows.asset[chosen]] = values
    return found


def _selection(task: Task, past: Corpus, panel: Panel) -> tuple[float | None, str]:
    """Mean over folds of the mean rank IC by date of the rows that each of them held out, on the scorer's outcome."""
    backbone, places = task.arm.backbone, _places(past, panel)
    try:
        scores = []
        for fold in split_corpus(task.selection, past.manifest).folds:
            models = _fitted(task, past, fold)
            matrix = np.full(panel.close.shape, np.nan)
            held_out = past.rows_of(fold.test)
            matrix[places[0][held_out], places[1][held_out]] = _predicted(
                backbone, models, test_view(past, fold).features
            )
            mean = rank_ic(panel, matrix, task.horizon).scores.mean
            scores += [] if mean is None else [mean]
    except CorpusError as error:
        return None, error.what
    return (float(np.mean(scores)), "") if scores else (None, "no held-out date has a score")


def _places(corpus: Corpus, panel: Panel) -> tuple[Any, Any]:
    """Date and asset of each row of the corpus, as numbers in the panel."""
    parts = corpus.ids.str.split_exact("/", 1).struct
    days = parts.field("field_0").to_numpy().astype("datetime64[D]")
    names = parts.field("field_1").to_numpy().astype(str)
    return np.searchsorted(panel.dates, days), np.searchsorted(np.array(panel.assets), names)


def _write(path: Path, found: Relived) -> None:
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    selection = np.array([np.nan if found.selection is None else found.selection])
    tensors = {"predictions": found.predictions, "selection": selection, "trained": np.array([found.trained])}
    with atomic_path(path) as partial:
        save_file(tensors, partial, metadata={"schema": SCHEMA, "why": found.why})


def _read(path: Path) -> Relived | None:
    """What is kept; None where there is nothing, or nothing that can be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(plain_path(path), framework="numpy") as file:
            selection = float(file.get_tensor("selection")[0])
            return Relived(
                file.get_tensor("predictions"),
                selection if np.isfinite(selection) else None,
                int(file.get_tensor("trained")[0]),
                (file.metadata() or {}).get("why", ""),
            )
    except (OSError, SafetensorError, IndexError):
        return None
