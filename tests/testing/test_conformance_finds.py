"""Each conformance test fails for a plug-in that breaks what it holds: otherwise it would hold nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
from pydantic import BaseModel

from heldout.backbone import Backbone, ClassScores, Contract, FeaturesView, Params, TrainView
from heldout.corpus import Corpus, Reader
from heldout.corpus.table import TableOptions, TableReader
from heldout.errors import CorpusError
from heldout.task.metric import Metric, Rows
from heldout.testing import BackboneConformance, MetricConformance, ReaderConformance, small_classification
from heldout.testing import backbone as rules

KEPT: list[Any] = []


class Mean(Backbone):
    """The mean of the training rows: good, until a subclass spoils it."""

    name: ClassVar[str] = "mean"
    Params = Params
    contract: ClassVar[Contract] = Contract(files=("mean.json",))

    def fit(self, view: TrainView, seed: int, workdir: Path) -> Any:
        return float(view.target.mean())

    def predict(self, model: Any, view: FeaturesView) -> Any:
        return np.full(view.features.height, model)

    def save(self, model: Any, folder: Path) -> None:
        (folder / "mean.json").write_text(json.dumps(model))

    def load(self, folder: Path) -> Any:
        return json.loads((folder / "mean.json").read_text())


class Short(Mean):
    def predict(self, model: Any, view: FeaturesView) -> Any:
        return np.full(max(view.features.height - 1, 0), model)


class Both(Mean):
    contract: ClassVar[Contract] = Contract(files=("mean.json",), outputs=True)

    def fit(self, view: TrainView, seed: int, workdir: Path) -> Any:
        return view.target.mean(axis=0).tolist()

    def predict(self, model: Any, view: FeaturesView) -> Any:
        return np.tile(model, (view.features.height, 1))


class Swapped(Both):
    def predict(self, model: Any, view: FeaturesView) -> Any:
        return super().predict(model, view)[:, ::-1]


class First(Both):
    def predict(self, model: Any, view: FeaturesView) -> Any:
        return super().predict(model, view)[:, 0]


class Infinite(Mean):
    def predict(self, model: Any, view: FeaturesView) -> Any:
        return np.full(view.features.height, math.inf)


class Single(Mean):
    def predict(self, model: Any, view: FeaturesView) -> Any:
        return np.full(view.features.height, model, dtype=np.float32)


class Ranked(Mean):
    def predict(self, model: Any, view: FeaturesView) -> Any:
        return np.arange(float(view.features.height))


class Scored(Mean):
    def fit(self, view: TrainView, seed: int, workdir: Path) -> Any:
        return 0.7

    def predict(self, model: Any, view: FeaturesView) -> Any:
        return ClassScores(("no", "yes"), np.full((view.features.height, 2), model))


class Chance(Mean):
    def fit(self, view: TrainView, seed: int, workdir: Path) -> Any:
        return float(np.random.default_rng().normal())


class Seeded(Mean):
    seeded: ClassVar[bool] = False

    def fit(self, view: TrainView, seed: int, workdir: Path) -> Any:
        return float(seed)


class Rounded(Mean):
    def save(self, model: Any, folder: Path) -> None:
        (folder / "mean.json").write_text(f"{model:.3f}")


class Remembering(Mean):
    def fit(self, view: TrainView, seed: int, workdir: Path) -> Any:
        KEPT.append(view.target.sum())
        return float(sum(KEPT))


class Mixed(Mean):
    def fit_many(self, jobs: Any, workdir: Path) -> Any:
        both = float(np.concatenate([job.view.target for job in jobs]).mean())
        return ((job, both) for job in jobs)


class Undeclared(Mean):
    def save(self, model: Any, folder: Path) -> None:
        (folder / "other.json").write_text(json.dumps(model))


class Secret(Mean):
    def save(self, model: Any, folder: Path) -> None:
        super().save(model, folder)
        (folder / "a.json").write_text("0")


class Outside(Mean):
    def save(self, model: Any, folder: Path) -> None:
        super().save(model, folder)
        Path("log.txt").write_text("saved")


class Loose(BaseModel):
    pass


class Unfrozen(Mean):
    Params = Loose


class Misspelt(Mean):
    def packages(self) -> tuple[str, ...]:
        return ("numpi",)


@pytest.mark.parametrize(
    ("spoilt", "test", "words"),
    [
        (Mean, "test_it_is_declared_under_its_name", "no installed distribution declares 'mean'"),
        (Short, "test_every_row_is_answered", "119 answers for 120 rows"),
        (Short, "test_one_row_can_be_asked", "one answer"),
        (Infinite, "test_every_row_is_answered", "finite numbers"),
        (First, "test_promised_targets_are_answered_each", "a column a target"),
        (Swapped, "test_promised_targets_are_answered_each", "in the order of the columns"),
        (Single, "test_every_row_is_answered", "float32"),
        (Ranked, "test_order_of_rows_changes_no_answer", "that row alone"),
        (Chance, "test_same_rows_and_seed_give_the_same_model", "mean.json has other bytes: take all randomness"),
        (Seeded, "test_same_rows_and_seed_give_the_same_model", "a seed changes nothing"),
        (Rounded, "test_what_is_stored_answers_the_same", "to the last bit"),
        (Mean, "test_another_process_fits_and_answers_the_same", "travels to workers by pickle"),
        (Remembering, "test_held_out_rows_do_not_reach_the_model", "on the view that `fit` is given"),
        (Mixed, "test_a_batch_gives_each_job_its_own_model", "`fit_many` gives"),
        (Undeclared, "test_it_writes_where_it_was_told_to", "the contract declares mean.json"),
        (Secret, "test_it_writes_where_it_was_told_to", "`save` wrote a.json: declare it"),
        (Outside, "test_it_writes_where_it_was_told_to", "written outside of the folder: log.txt"),
        (Unfrozen, "test_parameters_are_a_frozen_block", "it is frozen"),
        (Misspelt, "test_packages_are_installed", "'numpi'"),
    ],
)
def test_a_spoilt_backbone_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spoilt: type[Mean], test: str, words: str
) -> None:
    """A plug-in would pass that gives another model each time, or knows what it shall predict."""

    def refuse(*_: object) -> bytes:
        raise TypeError("a class of a test cannot be sent")

    monkeypatch.setattr(rules.pickle, "dumps", refuse)
    found: Any = type("Found", (BackboneConformance,), {"backbone": spoilt(spoilt.Params())})()
    arguments = () if test in ("test_parameters_are_a_frozen_block", "test_packages_are_installed") else (tmp_path,)
    if "declared" in test:
        arguments = ()
    with pytest.raises(AssertionError, match=words.replace("(", r"\(")):
        getattr(found, test)(*arguments)


def test_scores_that_are_no_probabilities_are_found(tmp_path: Path) -> None:
    """A log loss would be computed from numbers that say nothing of chances."""
    found: Any = type("Found", (BackboneConformance,), {"backbone": Scored(Params())})()
    found.corpus = small_classification
    with pytest.raises(AssertionError, match="do not sum to 1"):
        found.test_every_row_is_answered(tmp_path)


def test_a_good_backbone_passes_what_a_spoilt_one_fails(tmp_path: Path) -> None:
    """The test before this could not fail."""
    both: Any = type("Both", (BackboneConformance,), {"backbone": Both(Params())})()
    both.test_promised_targets_are_answered_each(tmp_path / "both")
    good: Any = type("Good", (BackboneConformance,), {"backbone": Mean(Params())})()
    for name in (name for name in dir(good) if name.startswith("test_") and "declared" not in name):
        if "process" not in name:
            folder = tmp_path / name
            folder.mkdir()
            method = getattr(good, name)
            method(folder) if "tmp_path" in method.__code__.co_varnames else method()


class Lax(Reader):
    """Reads a table, and makes what is missing up."""

    name: ClassVar[str] = "lax"
    Options = TableOptions
    options: TableOptions

    def read(self) -> Corpus:
        if not self.options.path.exists():
            raise CorpusError("there is no file")
        frame = pl.read_csv(self.options.path)
        columns = [name for name in frame.columns if frame[name].null_count()]
        filled = frame.with_columns(pl.col(columns).fill_null(strategy="backward"))
        filled.unique("id").write_csv(self.options.path)
        return TableReader(self.options).read()


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ("test_it_is_declared_under_its_name", "no installed distribution declares 'lax'"),
        ("test_it_reads_its_file", "names the reader"),
        ("test_equal_files_are_one_corpus", "no clock"),
        ("test_a_missing_target_is_refused", "read as if nothing were wrong"),
        ("test_a_missing_group_is_refused", "read as if nothing were wrong"),
        ("test_a_repeated_sample_is_refused", "read as if nothing were wrong"),
        ("test_a_file_that_is_not_there_is_refused", "say in `where`"),
    ],
)
def test_a_lax_reader_is_found(tmp_path: Path, test: str, words: str) -> None:
    """A row would be filled in, and nobody know it."""
    options = {"id": "id", "group": "site", "target": "y", "ignore": ["label"]}
    found: Any = type("Found", (ReaderConformance,), {"reader": Lax, "options": options, "id": "id"})()
    with pytest.raises(AssertionError, match=words):
        getattr(found, test)(*(() if "declared" in test else (tmp_path,)))


def metric(compute: Any, better: Any = "lower", low: float = 0.0, high: float = math.inf) -> Metric:
    return Metric("mine", "mine", better, (low, high), "value", compute)


def mean_error(rows: Rows) -> float:
    return rows.mean(np.abs(rows.truth - rows.said))


def sorting(rows: Rows) -> float:
    rows.said.sort()
    return 0.0


@pytest.mark.parametrize(
    ("spoilt", "test", "words"),
    [
        (metric(mean_error), "test_it_is_declared_under_its_name", "no installed distribution declares 'mine'"),
        (metric(lambda _: math.nan), "test_it_is_defined_on_ordinary_rows", "have the value nan"),
        (metric(mean_error, high=0.5), "test_values_keep_the_range", "is not in"),
        (metric(lambda _: math.inf), "test_nothing_undefined_is_a_number_and_it_says_why", "NaN, not infinite"),
        (metric(lambda rows: float(rows.said[0])), "test_order_of_rows_changes_nothing", "order of rows"),
        (metric(lambda rows: float(np.abs(rows.said - rows.truth).mean())), "test_a_row_of_weight_two", "repetition"),
        (metric(mean_error, "higher"), "test_a_perfect_prediction_is_the_best", "is better than"),
        (metric(lambda rows: 1 + mean_error(rows)), "test_a_perfect_prediction_is_the_best", "not the best"),
        (metric(sorting), "test_it_leaves_the_rows_as_they_are", "copy before sorting"),
    ],
)  # fmt: skip
def test_a_spoilt_metric_is_found(spoilt: Metric, test: str, words: str) -> None:
    """A rule would judge by a number that changes with the order of rows, or in the wrong direction."""
    found: Any = type("Found", (MetricConformance,), {"metric": spoilt})()
    (name,) = (name for name in dir(found) if name.startswith(test))
    with pytest.raises(AssertionError, match=words):
        getattr(found, name)()
