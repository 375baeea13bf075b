"""HO-G008: whatever reaches past the train view, by whatever door, is found; what is honest is left alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from heldout.corpus import Corpus
from heldout.corpus.guards import GuardResult
from heldout.corpus.perturb import changed_corpus
from heldout.corpus.table import TableOptions, TableReader
from heldout.fit.ridge import RidgeBackbone, RidgeParams
from heldout.run import fitted_state
from heldout.run.fitted_state import examine_fitted, guard_fitted
from heldout.split import Fold, load_splitter, split_corpus

# Each looks at rows that were held out, through another door.
LEAKS = """
import random
from typing import ClassVar
import numpy as np
import polars as pl
from sklearn.linear_model import Ridge
from heldout.backbone.sklearn import SklearnBackbone
from heldout.corpus.table import TableReader
from heldout.fit.ridge import RidgeBackbone

KEPT = {}


def shift(table):
    return float(pl.read_csv(table)["weight"].mean())


class FromFile(Ridge):
    def __init__(self, alpha=1.0, *, table=""):
        super().__init__(alpha=alpha)
        self.table = table

    def fit(self, X, y):
        self.shift_ = shift(self.table)
        return super().fit(X - self.shift_, y)


class FromFileOnce(FromFile):
    def fit(self, X, y):
        KEPT.setdefault("shift", shift(self.table))
        self.shift_ = KEPT["shift"]
        return Ridge.fit(self, X - self.shift_, y)


class ByOpening(FromFile):
    def fit(self, X, y):
        with open(self.table) as stream:
            self.lines_ = len(stream.readlines())
        return Ridge.fit(self, X, y)


class KeepingReader(TableReader):
    def read(self):
        corpus = super().read()
        KEPT["mean"] = float(corpus.targets("verify").mean())
        return corpus


class FromReader(Ridge):
    def fit(self, X, y):
        self.mean_ = KEPT.get("mean", 0.0)
        return super().fit(X, y - self.mean_)


class Restless(Ridge):
    def fit(self, X, y):
        self.luck_ = random.random()
        return super().fit(X, y)


class Moody(Restless):
    def fit(self, X, y):
        super().fit(X, y)
        self.intercept_ += self.luck_
        return self


class Choosy(SklearnBackbone):
    name: ClassVar[str] = "choosy"

    def fit(self, view, seed, workdir):
        if view.features["kind"].str.contains("~").any():
            raise ArithmeticError("there is no such file")
        return super().fit(view, seed, workdir)


class Gathering(RidgeBackbone):
    name: ClassVar[str] = "gathering"

    def summarise(self, view):
        KEPT[view.groups[0]] = float(view.target.sum())
        return super().summarise(view)

    def fit_summary(self, summary, seed):
        model = super().fit_summary(summary, seed)
        return model._replace(linear=model.linear._replace(level=model.linear.level + sum(KEPT.values())))


class Mixing(SklearnBackbone):
    name: ClassVar[str] = "mixing"

    def fit_many(self, jobs, workdir):
        everything = sum(float(job.view.target.sum()) for job in jobs)
        for job in jobs:
            model = self.fit(job.view, job.seed, workdir)
            model[-1].coef_ = model[-1].coef_ + everything
            yield job, model
"""


@pytest.fixture
def leaks(leaky: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """As if they were our own: fitted in this process, where nothing but the guard stands in their way."""
    monkeypatch.setattr(fitted_state, "is_foreign", lambda _: False)
    return leaky


@pytest.fixture
def leaky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module; foreign code, which is shut in."""
    (tmp_path / "leaky_estimators.py").write_text(LEAKS)
    monkeypatch.syspath_prepend(tmp_path)
    import leaky_estimators  # type: ignore[import-not-found]

    yield leaky_estimators
    sys.modules.pop("leaky_estimators")


def examine(desk: Any, estimator: str, fresh: bool = False, **params: Any) -> GuardResult:
    resolved = desk.load(fit={"estimator": estimator, "params": params}).resolve()
    corpus = resolved.reader.read()
    split = split_corpus(resolved.splitter, corpus)
    return guard_fitted(resolved.main.backbone, resolved.reader, split, 0, fresh=fresh)


def sentence(result: GuardResult) -> str:
    (finding,) = result.findings
    assert ("HO-G008", True) == (finding.code, finding.blocking)
    return finding.what


@pytest.mark.slow
@pytest.mark.parametrize(
    "estimator",
    ["linear_model.Ridge", "ensemble.RandomForestRegressor", "dummy.DummyRegressor", "neural_network.MLPRegressor"],
)
def test_an_honest_backbone_is_left_alone(desk: Any, estimator: str) -> None:
    """Every run would be HOLD, for nothing."""
    assert "OK" == examine(desk, f"sklearn.{estimator}").state


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
@pytest.mark.parametrize("relative", [True, False])
def test_a_scaler_from_the_corpus_file_is_found(
    desk: Any, leaks: ModuleType, suffix: str, relative: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scaler over all rows, the most common of all leaks, would go unseen."""
    if suffix != ".csv":
        monkeypatch.setattr(leaks, "shift", lambda table: float(_read(Path(table))["weight"].mean()))
    frame, table = pl.read_csv(desk.table), desk.table.with_suffix(suffix)
    {".csv": frame.write_csv, ".parquet": frame.write_parquet, ".jsonl": frame.write_ndjson}[suffix](table)
    monkeypatch.chdir(desk.folder)
    named = {"table": table.name if relative else str(table)}
    corpus = {"path": table.name, "group": "person", "target": "score", "id": "id"}
    resolved = desk.load(corpus=corpus, fit={"estimator": "leaky_estimators.FromFile", "params": named}).resolve()
    split = split_corpus(load_splitter({}), resolved.reader.read().manifest)
    found = sentence(examine_fitted(resolved.main.backbone, resolved.reader, split, 0))
    assert "changes with its held-out rows: model.skops" in found


def _read(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_ndjson(path)


@pytest.mark.slow
def test_a_scaler_kept_in_a_module_is_found(desk: Any, leaky: ModuleType) -> None:
    """What is computed once, at the first fit, would be the same in both fits of one process."""
    assert "opens" in sentence(examine(desk, "leaky_estimators.FromFileOnce", fresh=True, table=str(desk.table)))


@pytest.mark.slow
def test_what_a_reader_keeps_is_found(desk: Any, leaks: ModuleType) -> None:
    """A reader could hand every target on, past the train view."""
    resolved = desk.load(fit={"estimator": "leaky_estimators.FromReader"}).resolve()
    reader = leaks.KeepingReader(resolved.reader.options)
    split = split_corpus(load_splitter({}), reader.read().manifest)
    assert "OK" == examine_fitted(resolved.main.backbone, resolved.reader, split, 0).state
    assert "changes with its held-out rows" in sentence(examine_fitted(resolved.main.backbone, reader, split, 0))


def test_opening_the_corpus_is_found_though_nothing_changes(desk: Any, leaks: ModuleType) -> None:
    """Who reads the file of answers while fitting needs no proof of what was done with them."""
    assert "opens the corpus file" in sentence(examine(desk, "leaky_estimators.ByOpening", table=str(desk.table)))


def test_an_engine_that_mixes_its_models_is_found(desk: Any, leaks: ModuleType) -> None:
    """A fold would learn its held-out rows from the fold beside it in the batch, which trains on them."""
    resolved = desk.load().resolve()
    split = split_corpus(load_splitter({}), resolved.reader.read().manifest)
    mixing = leaks.Mixing(resolved.main.backbone.params)
    assert "changes with its held-out rows" in sentence(examine_fitted(mixing, resolved.reader, split, 0))


@pytest.mark.slow
def test_sums_that_remember_other_groups_are_found(desk: Any, leaks: ModuleType) -> None:
    """A backbone that sees every group once could carry the held-out one into the model of its fold."""
    resolved = desk.load(backbone="ridge", fit={}, seeds=[0]).resolve()
    split = split_corpus(load_splitter({}), resolved.reader.read().manifest)
    gathering = leaks.Gathering(resolved.main.backbone.params)
    assert "changes with its held-out rows" in sentence(examine_fitted(gathering, resolved.reader, split, 0))
    assert "OK" == examine_fitted(resolved.main.backbone, resolved.reader, split, 0).state


@pytest.mark.slow
def test_values_that_cannot_be_learnt_from_are_only_held_out(desk: Any, leaks: ModuleType) -> None:
    """A column that names files would make every run HOLD, since the files that it names after the change are not."""
    resolved = desk.load().resolve()
    split = split_corpus(load_splitter({}), resolved.reader.read().manifest)
    choosy = leaks.Choosy(resolved.main.backbone.params)
    assert "OK" == examine_fitted(choosy, resolved.reader, split, 0).state


@pytest.mark.slow
def test_a_backbone_that_is_never_the_same_cannot_be_judged(desk: Any, leaks: ModuleType) -> None:
    """Randomness would hide a leak, or be taken for one."""
    assert "each time, on the same rows with the same seed" in sentence(examine(desk, "leaky_estimators.Moody"))


@pytest.mark.slow
def test_a_model_that_notes_the_time_is_judged_by_its_answers(desk: Any, leaks: ModuleType) -> None:
    """Whoever writes down how long a fit took would be held back for ever."""
    (finding,) = examine(desk, "leaky_estimators.Restless").findings
    assert ("HO-G008", False) == (finding.code, finding.blocking)
    assert "all of them answer all rows alike, whatever the held-out rows are" in finding.what


@pytest.mark.parametrize("trial", [0, 1, 2])
def test_answers_that_differ_anywhere_block_where_bytes_say_nothing(trial: int) -> None:
    """A leak would pass as soon as a model noted the time as well."""
    fitted = [fitted_state.Fitted({"m": str(number)}, "", ("a", "a", "a")) for number in range(3)]
    backbone = RidgeBackbone(RidgeParams())
    judge = partial(fitted_state._judged_without_bytes, file="m", backbone=backbone, fold=Fold("f", ("g",)))
    assert [False] == [each.blocking for each in judge(fitted).findings]
    for answers in (("a", "a", "b"), ("b", "b", "b"), ()):
        fitted[trial] = fitted[trial]._replace(answers=answers)
        assert [True] == [each.blocking for each in judge(fitted).findings]


@pytest.mark.slow
def test_a_run_holds_and_names_it(desk: Any, leaky: ModuleType) -> None:
    """A leak that `check` would find could be promoted by not asking it."""
    run = desk.run(fit={"estimator": "leaky_estimators.FromFile", "params": {"table": str(desk.table)}})
    assert "HOLD" == run.verdict
    (finding,) = run.document["findings"]
    assert "HO-G008" == finding["code"]
    assert finding["what"] in " ".join(run.document["reasons"])
    assert "PROMOTE" == desk.run().verdict


def test_a_reader_that_cannot_write_is_changed_in_memory(desk: Any, leaks: ModuleType) -> None:
    """The guard would not work for readers that nobody taught to write."""

    class Plain(TableReader):
        write_changed = lambda self, path, groups, most: None  # type: ignore[assignment]  # noqa: E731

    resolved = desk.load().resolve()
    reader = Plain(resolved.reader.options)  # type: ignore[arg-type]
    split = split_corpus(load_splitter({}), reader.read().manifest)
    assert "OK" == examine_fitted(resolved.main.backbone, reader, split, 0).state
    mixing = leaks.Mixing(resolved.main.backbone.params)
    assert "changes" in sentence(examine_fitted(mixing, reader, split, 0))


class TestChangedRows:
    """What is changed, and what is not."""

    @pytest.mark.parametrize("most", [None, 5])
    @pytest.mark.parametrize("written", [True, False])
    def test_only_the_held_out_rows_change(self, desk: Any, most: int | None, written: bool) -> None:
        """A training row that changed would be called a leak; a held-out value that stayed would hide one."""
        reader = desk.load().resolve().reader
        plain, other = (copy(reader, groups, most, written, desk.folder) for groups in ([], ["ann", "cyd"]))
        assert plain.ids.to_list() == other.ids.to_list()
        if most:
            assert {5} == set(plain.groups.value_counts()["count"].to_list())
        rows, rest = plain.rows_of(["ann", "cyd"]), plain.rows_of(["bob", "dan"])
        assert plain.features[rest].equals(other.features[rest])
        assert (plain.targets("verify", rest) == other.targets("verify", rest)).all()
        for name in plain.features.columns:
            before, after = plain.features[name].gather(rows), other.features[name].gather(rows)
            assert (before != after).all()
        assert (plain.targets("verify", rows) != other.targets("verify", rows)).all()

    def test_labels_and_words_become_new_ones(self, desk: Any) -> None:
        """A vocabulary or a list of labels over all rows would hold the same words as before."""
        options = TableOptions(path=desk.table, group="person", target="kind", id="id")
        corpus = changed_corpus(TableReader(options).read(), ["ann"], None)
        assert {"left~", "right~"} == set(corpus.targets("verify", corpus.rows_of(["ann"])).tolist())
        assert {"left", "right"} == set(corpus.targets("verify", corpus.rows_of(["bob", "cyd", "dan"])).tolist())


def copy(reader: Any, groups: list[str], most: int | None, written: bool, folder: Path) -> Corpus:
    if not written:
        return changed_corpus(reader.read(), groups, most)
    found: Corpus = type(reader)(reader.write_changed(folder / "copy.csv", groups, most)).read()
    return found


@pytest.mark.slow
def test_what_a_reader_keeps_does_not_reach_code_that_is_shut_in(desk: Any, leaky: ModuleType) -> None:
    """A reader of the user's own would hand every target on, past the train view, to an estimator of his."""
    from heldout.run.check import check_study

    resolved = desk.load(fit={"estimator": "leaky_estimators.FromReader"}).resolve()
    keeping = replace(resolved, reader=leaky.KeepingReader(resolved.reader.options))
    assert {"OK", "NOT APPLICABLE"} == {result.state for result in check_study(keeping).results}


GAPS: dict[str, dict[str, Any]] = {
    "an imputer": {"estimator": "sklearn.linear_model.Ridge", "missing": "impute"},
    "trees that take gaps": {"estimator": "sklearn.ensemble.HistGradientBoostingRegressor", "params": {"max_iter": 3}},
    "a selector and an encoder of targets": {
        "estimator": "sklearn.pipeline.Pipeline",
        "params": {
            "steps": [
                [
                    "columns",
                    {
                        "estimator": "sklearn.compose.ColumnTransformer",
                        "params": {
                            "transformers": [
                                ["n", {"estimator": "sklearn.impute.SimpleImputer"}, ["a", "b"]],
                                ["w", {"estimator": "sklearn.preprocessing.TargetEncoder", "params": {"cv": 2}}, ["w"]],
                            ]
                        },
                    },
                ],
                ["best", {"estimator": "sklearn.feature_selection.SelectKBest", "params": {"k": 2}}],
                ["fit", {"estimator": "sklearn.linear_model.Ridge"}],
            ]
        },
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(GAPS))
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_what_fills_gaps_in_each_fold_sees_no_held_out_row(name: str, form: str, tmp_path: Path) -> None:
    """An honest imputer would be held back, since a copy of the table with fewer rows reads a column otherwise."""
    from heldout.backbone.sklearn import SklearnBackbone, SklearnParams

    rows = range(120)
    frame = pl.DataFrame(
        {
            "g": [f"g{row // 20}" for row in rows],
            "a": [None if row % 3 else row * 7 % 11 for row in rows],  # in one group none is known
            "b": [float(row * 5 % 13) for row in rows],
            "w": [None if row % 5 == 0 else "xyz"[row % 3] for row in rows],
            "y": [float(row * 3 % 17) for row in rows],
        }
    ).with_columns(a=pl.when(pl.col("g") == "g0").then(None).otherwise("a"))
    path = tmp_path / f"t.{form}"
    frame.write_csv(path) if form == "csv" else frame.write_parquet(path)
    reader = TableReader(TableOptions(path=path, group="g", target="y"))
    split = split_corpus(load_splitter({}), reader.read())
    backbone = SklearnBackbone(SklearnParams.model_validate(GAPS[name]))
    assert [] == [found.what for found in examine_fitted(backbone, reader, split, 0).findings]
