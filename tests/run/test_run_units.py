"""A unit is one seed on one fold: what its key is of, what its views hold, and when it counts as finished."""

from __future__ import annotations

import itertools
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from units_kit import land, told

from heldout.backbone import Backbone, Contract, Params
from heldout.backbone.code import Code
from heldout.corpus import Corpus
from heldout.corpus.table import TableOptions, TableReader
from heldout.errors import CorpusError, InputError, UnitError
from heldout.evidence import read_json, sha256_file
from heldout.run.units import compute, landing
from heldout.run.units.compute import Files, Inputs, compute_unit, files_of
from heldout.run.units.contender import Contender
from heldout.run.units.landing import land_unit, why_not_finished
from heldout.run.units.unit import Unit, cached_corpus, make_unit, stream_seed, train_view
from heldout.run.units.unit import test_view as held_out_view
from heldout.split import Fold

DAN = Fold("dan", ("dan",))


def unit_of(desk: Any, **changes: Any) -> Unit:
    """The first unit of the variant: seed 0, held out ann."""
    unit: Unit = desk.prepare(**changes).main.units[0]
    return unit


class TestKey:
    """The same key promises the same predictions."""

    def test_stays_what_it_is(self, desk: Any) -> None:
        """Nothing would ever be reused."""
        assert unit_of(desk).key == unit_of(desk).key
        for change in ({"description": "new"}, {"baselines": []}, {"runs": "x"}, {"seeds": [0, 1, 2]}):
            assert unit_of(desk).key == unit_of(desk, **change).key, change

    def test_every_unit_has_its_own(self, desk: Any) -> None:
        """Two folds would share one model."""
        keys = [unit.key for each in desk.prepare().contenders for unit in each.units]
        assert 2 * 4 + 4 == len(keys) == len(set(keys))

    def test_changes_with_the_variant(self, desk: Any) -> None:
        """A model of other parameters would be reused."""
        other = {"estimator": "sklearn.linear_model.Ridge", "params": {"alpha": 2.0}}
        assert unit_of(desk).key != unit_of(desk, fit=other).key

    def test_changes_with_the_corpus(self, desk: Any) -> None:
        """A model of older data would be reused, also within one process."""
        before = unit_of(desk)
        desk.table.write_text(desk.table.read_text().replace("left", "west"))
        assert before.key != unit_of(desk).key

    def test_changes_with_the_columns(self, desk: Any) -> None:
        """A model that saw another column would be reused."""
        corpus = {"path": "table.csv", "group": "person", "target": "score", "id": "id"}
        assert unit_of(desk).key != unit_of(desk, corpus=corpus | {"ignore": ["kind"]}).key

    def test_changes_with_the_code(self, desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """A model that an older version fitted would be reused."""
        before = unit_of(desk)
        monkeypatch.setattr("heldout.run.prepare.code_of", lambda *_: Code("another version"))
        assert before.key != unit_of(desk).key

    def test_changes_with_the_groups_of_the_fold(self, desk: Any) -> None:
        """A fold of the same name but other groups would reuse a model that saw the held-out ones."""
        prepared = desk.prepare()
        contender, corpus = prepared.resolved.main, prepared.corpus

        def key(fold: Fold) -> str:
            return make_unit(contender, 0, fold, corpus, {}, desk.folder, Code("")).key

        assert key(DAN) != key(Fold("dan", ("cyd", "dan")))
        assert key(DAN) != key(Fold("dan", ("dan",), exceptions=("cyd",)))
        assert key(DAN) != key(Fold("dan", ("dan",), val=("cyd",)))
        assert key(DAN) != key(Fold("part0", DAN.test))


def test_no_two_folds_share_a_random_stream() -> None:
    """Defect 26: the same dropout masks and shuffles in every fold make their errors alike."""
    found = {stream_seed(seed, fold) for seed in range(20) for fold in ("a", "b", "aa", "1", "11", "")}
    assert 120 == len(found)
    assert all(0 <= number < 2**32 for number in found)
    assert stream_seed(3, "a") == stream_seed(3, "a")


def test_views_keep_held_out_rows_and_targets_apart(desk: Any) -> None:
    """A model could learn from the rows on which it is judged."""
    corpus = desk.prepare().corpus
    train, test = train_view(corpus, DAN), held_out_view(corpus, DAN)
    assert {"ann", "bob", "cyd"} == set(train.groups.tolist())
    assert (42, 42, 18) == (train.features.height, len(train.target), test.features.height)
    assert ["weight", "kind"] == train.features.columns == test.features.columns
    held_out = set(corpus.features.filter(corpus.groups == "dan")["weight"])
    assert held_out == set(test.features["weight"])
    assert not held_out & set(train.features["weight"])


def test_held_out_rows_influence_nothing_that_is_fitted(desk: Any) -> None:
    """A scaler or a list of categories over the whole corpus would leak the held-out group into the model."""
    fitted = {}
    for name in ("as it is", "held-out rows changed"):
        if name != "as it is":
            frame = pl.read_csv(desk.table)
            dan = pl.col("person") == "dan"
            frame = frame.with_columns(
                weight=pl.when(dan).then(pl.col("weight") * -50 + 7).otherwise("weight"),
                kind=pl.when(dan).then(pl.lit("unheard of")).otherwise("kind"),
                score=pl.when(dan).then(-999.0).otherwise("score"),
            )
            frame.write_csv(desk.table)
        prepared = desk.prepare(fit={"estimator": "sklearn.linear_model.Ridge"})
        backbone = prepared.resolved.main.backbone
        view = train_view(prepared.corpus, DAN)
        folder = desk.folder / name
        backbone.save(backbone.fit(view, stream_seed(0, "dan"), folder), folder)
        fitted[name] = sha256_file(folder / "model.skops")
    assert fitted["as it is"] == fitted["held-out rows changed"]


@pytest.fixture
def finished(desk: Any) -> tuple[Any, Unit]:
    prepared = desk.prepare()
    unit = prepared.main.units[3]
    land(prepared, unit)
    return prepared, unit


def test_finished_unit_names_its_files_by_digest(finished: tuple[Any, Unit]) -> None:
    """Nobody could tell whether the model is the one that made the predictions."""
    _, unit = finished
    assert why_not_finished(unit) is None
    document = read_json(unit.folder / "unit.json")
    there = sorted(path.name for path in unit.folder.iterdir())
    assert ["model.skops", "predictions.safetensors", "unit.json"] == there
    assert {name: sha256_file(unit.folder / name) for name in there[:2]} == document["files"]
    assert (0, "dan", "base", 42, 18) == tuple(
        document[key] for key in ("seed", "fold", "contender", "n_train", "n_test")
    )


def test_unit_of_another_key_is_fitted_again(finished: tuple[Any, Unit]) -> None:
    """A stale model would be judged as the new one."""
    assert "another corpus" in str(why_not_finished(replace(finished[1], key="0" * 64)))


@pytest.mark.parametrize("name", ["model.skops", "predictions.safetensors"])
def test_unit_with_a_changed_file_is_fitted_again(finished: tuple[Any, Unit], name: str) -> None:
    """A flipped bit, or a hand-made prediction, would be judged."""
    path = finished[1].folder / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert f"{name} is not the file that unit.json names" == why_not_finished(finished[1])
    path.unlink()
    assert f"{name} is not the file that unit.json names" == why_not_finished(finished[1])


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"key": 1}', '{"key": NaN}', "\x00" * 40])
def test_unit_with_a_damaged_card_is_fitted_again(finished: tuple[Any, Unit], text: str) -> None:
    """A power cut would make every later run end in a traceback."""
    (finished[1].folder / "unit.json").write_text(text)
    assert why_not_finished(finished[1]) is not None


def test_unit_with_files_of_the_wrong_kind_is_fitted_again(finished: tuple[Any, Unit]) -> None:
    """A card whose `files` is a list would end in a traceback."""
    card = finished[1].folder / "unit.json"
    card.write_text(json.dumps(read_json(card) | {"files": ["model.skops"]}))
    assert "unit.json is damaged" == why_not_finished(finished[1])


class Constant(Backbone):
    """Answers a constant, or as many numbers as it likes; may fail to save."""

    name = "constant"
    Params = Params
    contract = Contract(files=("model.txt",))

    def __init__(self, extra: int = 0, *, broken: bool = False) -> None:
        super().__init__(Params())
        self.extra, self.broken = extra, broken

    def fit(self, view: Any, seed: int, workdir: Path) -> float:
        return float(view.target.mean())

    def predict(self, model: float, view: Any) -> Any:
        return np.full(view.features.height + self.extra, model)

    def save(self, model: float, folder: Path) -> None:
        if self.broken:
            raise InputError("the disk is full", where=str(folder), hint="make room")
        (folder / "model.txt").write_text(repr(model))

    def load(self, folder: Path) -> float:
        return float((folder / "model.txt").read_text())


def constant_unit(desk: Any, backbone: Backbone) -> tuple[Unit, Corpus]:
    corpus = desk.prepare().corpus
    unit = make_unit(Contender("constant", "", backbone, (0,)), 0, DAN, corpus, {}, desk.folder / "unit", Code(""))
    return unit, corpus


def files(unit: Unit, backbone: Backbone, model: float, corpus: Corpus, scratch: Path) -> Files:
    return files_of(unit.work, backbone, model, corpus, Inputs({}, scratch), 0.0)


def test_too_many_or_too_few_predictions_are_refused(desk: Any) -> None:
    """Predictions would be shifted against their rows, and correlate with nothing or with too much."""
    for extra in (-1, 1):
        backbone = Constant(extra)
        unit, corpus = constant_unit(desk, backbone)
        with pytest.raises(UnitError, match=f"{18 + extra} predictions for 18 rows"):
            files(unit, backbone, 1.0, corpus, desk.folder)


def test_a_model_that_cannot_be_saved_leaves_the_run_as_it_is(desk: Any) -> None:
    """A new model with the old card would pass for the old one, or the other way about."""
    unit, corpus = constant_unit(desk, Constant())
    land_unit(unit, files(unit, Constant(), 1.0, corpus, desk.folder))
    before = {path.name: path.read_bytes() for path in unit.folder.iterdir()}
    with pytest.raises(InputError, match="disk is full"):
        files(unit, Constant(broken=True), 2.0, corpus, desk.folder)
    assert before == {path.name: path.read_bytes() for path in unit.folder.iterdir()}
    assert why_not_finished(unit) is None


def test_unit_that_lands_again_does_not_count_until_it_is_whole(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is killed while a unit lands would judge a new model by the predictions of the old one."""
    unit, corpus = constant_unit(desk, Constant())
    land_unit(unit, files(unit, Constant(), 1.0, corpus, desk.folder))
    made = files(unit, Constant(), 2.0, corpus, desk.folder)
    for whole in range(len(made)):
        left = itertools.count()

        def write(content: Any, path: Path, stop: int = whole, left: Any = left) -> None:
            if next(left) == stop:
                raise KeyboardInterrupt
            path.write_bytes(content)

        monkeypatch.setattr(landing, "_write", write)
        with pytest.raises(KeyboardInterrupt):
            land_unit(unit, made)
        assert "not fitted yet" == why_not_finished(unit)
    monkeypatch.undo()
    land_unit(unit, made)
    assert why_not_finished(unit) is None


def test_what_took_little_is_flushed_together_and_what_took_long_at_once(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut would cost an hour of training; or ten thousand small fits would wait a minute for the disk."""
    flushed: list[str] = []
    monkeypatch.setattr(landing, "settle", lambda paths: flushed.extend(path.name for path in paths))
    unit, corpus = constant_unit(desk, Constant())
    made = files(unit, Constant(), 1.0, corpus, desk.folder)
    card = json.loads(made["unit.json"])  # type: ignore[arg-type]
    quick, slow = (made | {"unit.json": json.dumps(card | {"wall_time_s": took}).encode()} for took in (0.3, 2.0))
    with landing.Landing() as many:
        for _ in range(3):
            many.land(unit, quick)
        assert [] == flushed
        many.land(unit, quick)
        assert 4 * 3 == len(flushed)
        many.land(unit, slow)
        assert 5 * 3 == len(flushed)
        many.land(unit, quick)
        assert 5 * 3 == len(flushed)
    assert 6 * 3 == len(flushed)
    with pytest.raises(InputError), landing.Landing() as many:  # noqa: PT012 - what landed before the error
        many.land(unit, quick)
        files(unit, Constant(broken=True), 1.0, corpus, desk.folder)
    assert 7 * 3 == len(flushed)


def test_a_model_that_the_contract_names_and_nobody_saved_is_refused(desk: Any) -> None:
    """A unit without its model would count."""
    unit, corpus = constant_unit(desk, Constant())
    backbone = Constant()
    backbone.save = lambda model, folder: None  # type: ignore[method-assign]
    with pytest.raises(UnitError, match=r"constant saved no model\.txt"):
        files(unit, backbone, 1.0, corpus, desk.folder)


def test_a_large_model_lands_without_passing_through_memory(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forest of gigabytes would be pickled, and held by the process that lands everything."""
    monkeypatch.setattr(compute, "_LARGE", 2)
    unit, corpus = constant_unit(desk, Constant())
    scratch = desk.folder / "scratch"
    scratch.mkdir()
    made = files(unit, Constant(), 1.5, corpus, scratch)
    assert isinstance(made["model.txt"], Path)
    land_unit(unit, made)
    assert why_not_finished(unit) is None
    assert "1.5" == (unit.folder / "model.txt").read_text()
    assert [] == [*scratch.iterdir()]


def test_what_is_told_of_a_unit_is_the_same_for_many_groups(desk: Any) -> None:
    """Ten thousand units of ten thousand groups would be a gigabyte on the wire; or a node would need our folders."""
    corpus = {"path": "table.csv", "group": "person", "target": "score"}
    sizes = []
    for groups in (4, 400):
        person = [f"g{number:03d}" for number in range(groups) for _ in range(3)]
        weight = np.arange(3.0 * groups)
        pl.DataFrame({"person": person, "weight": weight, "score": weight % 7}).write_csv(desk.table)
        prepared = desk.prepare(corpus=corpus)
        argument, _ = told(prepared, prepared.main.units[0])
        sizes.append(len(pickle.dumps(argument)))
        assert str(desk.folder).encode() not in pickle.dumps(argument)
    assert sizes[0] == sizes[1]


def test_another_heldout_is_refused(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another version fits on a node of a cluster would stand under the key of this one."""
    prepared = desk.prepare()
    argument, inputs = told(prepared, prepared.main.units[0])
    monkeypatch.setattr(compute, "code_digest", lambda: "of another version")
    with pytest.raises(UnitError, match="the sources of heldout are others"):
        compute_unit(argument, inputs)


def test_corpus_that_changes_during_the_run_is_noticed(desk: Any) -> None:
    """Some folds would be fitted on the old rows and some on the new."""
    prepared = desk.prepare()
    unit = prepared.main.units[0]
    argument, inputs = told(prepared, unit)
    desk.table.write_text(desk.table.read_text().replace("left", "west"))
    with pytest.raises(CorpusError, match="the corpus changed during the run"):
        compute_unit(argument, inputs)


def test_corpus_is_read_once_and_again_only_when_it_changes(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker would read a million rows for each unit; or a notebook would judge yesterday's table."""
    count, read = itertools.count(), TableReader.read
    monkeypatch.setattr(TableReader, "read", lambda self: (next(count), read(self))[1])
    reader = TableReader(TableOptions(path=desk.table, group="person", target="score"))
    first = cached_corpus(reader)
    assert first is cached_corpus(TableReader(reader.options))
    desk.table.write_text(desk.table.read_text().replace("left", "west"))
    second = cached_corpus(reader)
    assert first.manifest.sha256 != second.manifest.sha256 == sha256_file(desk.table)
    assert 2 == next(count)
