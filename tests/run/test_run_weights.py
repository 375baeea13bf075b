"""Weights on the whole road: in fits, in every number, in the ledger, in what is verified, and in what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from attack_kit import module_of
from typer.testing import CliRunner

from heldout import Study
from heldout.cli.main import app
from heldout.documents.names import CORPUS_FILE, METRICS_FILE, PREDICTIONS_FILE
from heldout.errors import CorpusError, HeldoutError, InputError, StudyError
from heldout.evidence import dumps, read_json
from heldout.ledger.declaration import compared, rules_of
from heldout.run import Run
from heldout.run.check import check_study
from heldout.verify import Verification, verify_run

pytest.importorskip("sklearn")

BASE: dict[str, Any] = {
    "study": "weighed",
    "corpus": {"path": "table.csv", "group": "site", "target": "y", "weight": "w", "ignore": ["label"]},
    "backbone": "sklearn",
    "fit": {"estimator": "sklearn.linear_model.Ridge"},
    "seeds": [0],
    "baselines": [
        {"id": "line", "description": "a ridge", "backbone": "ridge"},
        {"id": "alike", "description": "rows alike", "backbone": "ridge", "fit": {"weight": "ignore"}},
    ],
    "gate": {"rules": [{"id": "plcc", "metric": "plcc", "over": "pooled", "at_least": 0.6}]},
    "bootstrap": {"draws": 100},
}
CLASSES: dict[str, Any] = {
    "study": "classes",
    "corpus": BASE["corpus"] | {"target": "label", "ignore": ["y"]},
    "fit": {"estimator": "sklearn.linear_model.LogisticRegression"},
    "baselines": [],
    "gate": {"rules": [{"id": "good", "metric": "balanced_accuracy", "over": "pooled", "at_least": 0.6}]},
}


def table(**columns: Any) -> pl.DataFrame:
    """Five sites; rows of weight 3 follow another law than the others, and every seventh row weighs nothing."""
    rng = np.random.default_rng(4)
    a, b, noise = rng.normal(size=(3, 150))
    weight = np.where(np.arange(150) % 7 == 0, 0.0, rng.integers(1, 4, 150))
    y = a + b + 2.0 * a * (weight == 3.0) + 0.2 * noise
    frame = pl.DataFrame({"site": [f"g{n % 5}" for n in range(150)], "a": a, "b": b, "w": weight, "y": y})
    return frame.with_columns(pl.Series("label", np.where(y > 0, "yes", "no"))).with_columns(
        **{name: pl.Series(values) for name, values in columns.items()}
    )


class Desk:
    """A folder with a table, studies of it and their runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, **changes: Any) -> Study:
        (self.folder / "study.yaml").write_text(json.dumps(BASE | changes))
        return Study.load(self.folder / "study.yaml")

    def run(self, **changes: Any) -> Run:
        return self.load(**changes).run(runs=self.folder / "runs", workers=1)

    def verify(self, folder: Path, **more: Any) -> Verification:
        return verify_run(folder, corpus=self.folder / "table.csv", **more)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    table().write_csv(tmp_path / "table.csv")
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Desk, Path, Path]:
    """A desk with a run of numbers and one of classes; only to be looked at."""
    folder = tmp_path_factory.mktemp("weighed")
    table().write_csv(folder / "table.csv")
    desk = Desk(folder)
    return desk, desk.run().folder, desk.run(**CLASSES).folder


@pytest.mark.slow
def test_numbers_are_those_of_scikit_learn_by_weight(judged: tuple[Desk, Path, Path]) -> None:
    """A verdict would rest on numbers that nobody can compute from the predictions beside it."""
    from sklearn import metrics as theirs

    rows = pl.read_ndjson(judged[1] / PREDICTIONS_FILE)
    found = read_json(judged[1] / METRICS_FILE)["ensemble"]
    parts = {"pooled": rows} | {str(key[0]): part for key, part in rows.partition_by("group", as_dict=True).items()}
    for name, part in parts.items():
        block = found["pooled"] if name == "pooled" else found["folds"][name]
        y, p, w = (part[column].to_numpy() for column in ("target", "prediction", "weight"))
        assert theirs.mean_absolute_error(y, p, sample_weight=w) == pytest.approx(block["mae"], rel=1e-9)
        assert theirs.root_mean_squared_error(y, p, sample_weight=w) == pytest.approx(block["rmse"], rel=1e-9)
        cov = np.cov(y, p, aweights=w)
        assert cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]) == pytest.approx(block["plcc"], rel=1e-9)
    assert np.mean([found["folds"][f"g{n}"]["mae"] for n in range(5)]) == pytest.approx(found["mean"]["mae"], rel=1e-12)


@pytest.mark.slow
def test_numbers_of_classes_are_those_of_scikit_learn_by_weight(judged: tuple[Desk, Path, Path]) -> None:
    """As above, of labels and probabilities."""
    from sklearn import metrics as theirs

    rows = pl.read_ndjson(judged[2] / PREDICTIONS_FILE)
    found = read_json(judged[2] / METRICS_FILE)["ensemble"]["pooled"]
    y, said, w = (rows[name].to_numpy() for name in ("target", "prediction", "weight"))
    expected = {
        "accuracy": theirs.accuracy_score(y, said, sample_weight=w),
        "balanced_accuracy": theirs.balanced_accuracy_score(y, said, sample_weight=w),
        "macro_f1": theirs.f1_score(y, said, average="macro", sample_weight=w),
        "log_loss": theirs.log_loss(y, rows.select("p_no", "p_yes").to_numpy(), sample_weight=w),
    }
    assert expected == pytest.approx(found, rel=1e-9)


def test_a_fit_that_counts_rows_alike_is_another(judged: tuple[Desk, Path, Path]) -> None:
    """Weights would be told in every document and reach no model."""
    metrics = read_json(judged[1] / METRICS_FILE)
    ours, line, alike = (metrics["ensemble"], metrics["baselines"]["line"], metrics["baselines"]["alike"])
    assert line["mean"]["rmse"] == pytest.approx(ours["mean"]["rmse"], rel=1e-9), "both are weighted ridges"
    assert alike["mean"]["rmse"] > 1.02 * ours["mean"]["rmse"]


def test_the_trivial_mean_is_that_by_weight(judged: tuple[Desk, Path, Path]) -> None:
    """The gate would be put to a contender that knows less than nothing."""
    found = read_json(judged[1] / METRICS_FILE)["trivial"]["contenders"]["mean"]["answers"]["g0"]
    rows = table().filter(pl.col("site") != "g0")
    assert np.average(rows["y"], weights=rows["w"]) == pytest.approx(found, rel=1e-12)


def test_reports_and_documents_say_that_rows_are_weighted(judged: tuple[Desk, Path, Path]) -> None:
    """A reader would take a weighted number for a plain one."""
    assert "in 5 groups, weighted by w. Interval" in (judged[1] / "RUN_REPORT.md").read_text()
    assert "weighted by w" in (judged[1] / "report.html").read_text()
    assert "w" == read_json(judged[1] / CORPUS_FILE)["weight"]
    assert "weight" in (judged[1] / "predictions.csv").read_text().partition("\n")[0]


@pytest.mark.slow
@pytest.mark.parametrize("which", [1, 2])
def test_a_weighted_run_verifies_in_every_link(judged: tuple[Desk, Path, Path], which: int) -> None:
    """An honest run would look tampered with."""
    folder = judged[which]
    assert isinstance(folder, Path)
    found = judged[0].verify(folder, refit_too=True)
    open_ones = {link.id: link.what for link in found.links if link.state != "OK"}
    assert {"signature"} == set(open_ones), open_ones


@pytest.mark.slow
def test_a_refit_and_a_second_look_change_nothing(desk: Desk) -> None:
    """The same study run again would be another look, or other weights."""
    first, second = desk.run(), desk.run()
    assert first.folder == second.folder
    assert 1 == second.document["trial"]["looks"]


# --- what is refused, before anything is fitted


def test_a_held_out_group_that_weighs_nothing_is_refused(desk: Desk) -> None:
    """Its metrics are undefined, so hours of fits would end in a HOLD that was certain before."""
    frame = table()
    frame.with_columns(w=pl.when(pl.col("site") == "g3").then(0.0).otherwise("w")).write_csv("table.csv")
    for attempt in (lambda: desk.run(), lambda: check_study(desk.load().resolve(), fresh=False)):
        with pytest.raises(CorpusError, match="'g3' is held out, and every row of it has the weight 0"):
            attempt()
    assert not (desk.folder / "runs").exists()
    told = desk.run(split={"kind": "fixed", "test": ["g0", "g1", "g2"]})
    assert 3 == told.document["rules"][3]["observed"], "where it trains and is not held out, it may weigh nothing"


def test_a_fold_whose_training_rows_weigh_nothing_is_refused(desk: Desk) -> None:
    """A model of nothing would fail in every unit."""
    frame = table()
    frame.with_columns(w=pl.when(pl.col("site") == "g4").then(0.0).otherwise("w")).write_csv("table.csv")
    with pytest.raises(CorpusError, match="every training row of a fold has the weight 0"):
        desk.run(split={"kind": "fixed", "test": ["g0", "g1", "g2", "g3"]})


@pytest.mark.slow
def test_an_estimator_that_takes_no_weights_is_refused(desk: Desk) -> None:
    """Its model would be one of rows that count alike, compared with those of rows that do not."""
    knn = {"estimator": "sklearn.neighbors.KNeighborsRegressor"}
    with pytest.raises(StudyError, match="does not fit by weights") as caught:
        desk.run(fit=knn)
    assert "study.yaml:1" in str(caught.value.where)
    with pytest.raises(StudyError, match="does not fit by weights"):
        desk.run(baselines=[{"id": "near", "backbone": "sklearn", "fit": knn}])
    run = desk.run(fit=knn | {"weight": "ignore"}, baselines=[])
    assert "ignore" == read_lock(run)["fit"]["weight"]


def read_lock(run: Run) -> Any:
    from heldout.run.resolve import read_lock as read

    return read(run.folder / "study.lock.yaml")


def test_a_backbone_that_promises_no_weights_is_refused(desk: Desk) -> None:
    """It would count every row alike, without a word."""
    code = (
        "import json, numpy as np\n"
        "from heldout.backbone import Backbone, Contract, Params\n"
        "class Flat(Backbone):\n    name = 'flat'\n    Params = Params\n    contract = Contract(files=('m.json',))\n"
        "    def fit(self, view, seed, workdir): return float(view.target.mean())\n"
        "    def predict(self, model, view): return np.full(view.features.height, model)\n"
        "    def save(self, model, folder): (folder / 'm.json').write_text(json.dumps(model))\n"
        "    def load(self, folder): return json.loads((folder / 'm.json').read_text())\n"
    )
    with module_of(desk.folder, "flat_backbone", code):
        import flat_backbone  # type: ignore[import-not-found]

        prepared = desk.load(baselines=[]).resolve()
        from heldout.run.prepare import _check_weighted
        from heldout.run.units.unit import cached_corpus

        contender = type(prepared.main)("flat", "", flat_backbone.Flat(flat_backbone.Params()), (0,))
        with pytest.raises(StudyError, match="'flat' does not fit by weights") as caught:
            _check_weighted(contender, cached_corpus(prepared.reader))
        assert "weights=True" in str(caught.value.hint)


@pytest.mark.slow
def test_a_metric_that_cannot_count_by_weight_is_refused(desk: Desk) -> None:
    """It would fail when all fits are done."""
    own = [{"name": "worst", "function": "sklearn.metrics.max_error", "better": "lower"}]
    with pytest.raises(StudyError, match="takes no `sample_weight`"):
        desk.run(metrics=own)
    desk.run(metrics=[{"name": "off", "function": "sklearn.metrics.mean_absolute_error", "better": "lower"}])


ESTIMATORS = """
from sklearn.linear_model import Ridge

class Weighing(Ridge):
    def fit(self, X, y, sample_weight=None):
        if sample_weight is None:
            raise ArithmeticError("no weights came")
        return super().fit(X, y, sample_weight=sample_weight)

class Flat(Ridge):
    def fit(self, X, y):
        return super().fit(X, y)
"""


@pytest.mark.slow
def test_weights_reach_code_that_is_shut_in(desk: Desk) -> None:
    """A user's own estimator would be fitted alike where scikit-learn's is not."""
    with module_of(desk.folder, "own_estimators", ESTIMATORS):
        run = desk.run(fit={"estimator": "own_estimators.Weighing"})
        metrics = read_json(run.folder / METRICS_FILE)
        line = metrics["baselines"]["line"]["mean"]["rmse"]
        assert line == pytest.approx(metrics["ensemble"]["mean"]["rmse"], rel=1e-9)
        with pytest.raises(HeldoutError, match="does not fit by weights"):
            desk.run(fit={"estimator": "own_estimators.Flat"})


@pytest.mark.slow
def test_a_champion_of_other_weights_is_refused(desk: Desk) -> None:
    """A model would be promoted because the champion was scored by rows that count otherwise."""
    champion = desk.run(study="old").folder
    corpus = BASE["corpus"] | {"weight": None, "ignore": ["label", "w"]}
    with pytest.raises(InputError, match="scored on other weights"):
        desk.run(study="new", corpus=corpus, champion=str(champion))
    again = desk.run(study="next", champion=str(champion))
    assert "champion" in read_json(again.folder / METRICS_FILE)["comparisons"]


# --- what is verified


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        change(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def copied(judged: tuple[Desk, Path, Path], folder: Path) -> tuple[Desk, Path]:
    shutil.copytree(judged[0].folder, folder / "copy")
    return Desk(folder / "copy"), folder / "copy" / judged[1].relative_to(judged[0].folder)


def test_edited_weights_are_tampered(judged: tuple[Desk, Path, Path], tmp_path: Path) -> None:
    """A model would look better than it was judged."""
    _, run = copied(judged, tmp_path)
    edit(run / PREDICTIONS_FILE, lambda row: row.update(weight=1.0))
    assert not verify_run(run).holds


def test_a_forger_who_computes_everything_again_meets_ledger_and_corpus(
    judged: tuple[Desk, Path, Path], tmp_path: Path
) -> None:
    """Whoever mends every digest above the weights would have a verdict of his own."""
    from heldout.verify.chain import BrokenError
    from heldout.verify.corpus_file import check_corpus_file
    from heldout.verify.evidence import RunEvidence
    from heldout.verify.trials import check_ledger

    desk, run = copied(judged, tmp_path)
    check_ledger(RunEvidence.open(run))
    edit(run / PREDICTIONS_FILE, lambda row: row.update(weight=row["weight"] + 1.0))
    with pytest.raises(BrokenError, match="other weights for the group"):
        check_ledger(RunEvidence.open(run))
    with pytest.raises(BrokenError, match="weights are not those of the corpus"):
        check_corpus_file(RunEvidence.open(run, desk.folder / "table.csv"))
    edit(run / PREDICTIONS_FILE, lambda row: row.pop("weight"))
    with pytest.raises(BrokenError, match="other weights for the group"):
        check_ledger(RunEvidence.open(run))


def test_weights_that_are_taken_out_of_the_predictions_are_missed(
    judged: tuple[Desk, Path, Path], tmp_path: Path
) -> None:
    """A run would be recomputed with rows that count alike, and found whole."""
    from heldout.verify.chain import BrokenError
    from heldout.verify.evidence import RunEvidence
    from heldout.verify.inputs import check_corpus_document
    from heldout.verify.results import check_predictions

    _, run = copied(judged, tmp_path)
    edit(run / PREDICTIONS_FILE, lambda row: row.pop("weight"))
    with pytest.raises(BrokenError, match="either the corpus has weights"):
        check_predictions(RunEvidence.open(run))
    document = read_json(run / CORPUS_FILE)
    del document["weight"]
    (run / CORPUS_FILE).write_bytes(dumps(document))
    with pytest.raises(BrokenError, match="another column of weights"):
        check_corpus_document(RunEvidence.open(run))


# --- what is registered


def test_the_column_is_part_of_the_rules_only_where_there_is_one() -> None:
    """Every registration of before would be one of other rules."""
    config: dict[str, Any] = {
        "corpus": {"reader": "table"}, "split": {"kind": "x"}, "bootstrap": {}, "baselines": [],
        "gate": {"rules": [], "min_groups": 1, "min_seeds": 1, "requires": [], "slices": [],
                 "correct_for_attempts": "none"},
    }  # fmt: skip
    plain, by_w = rules_of(config), rules_of(config | {"corpus": {"weight": "w"}})
    assert "weight" not in plain
    assert ("w", (True, None), (False, None), (False, None)) == (
        by_w["weight"], compared(by_w, by_w), compared(by_w, plain), compared(plain, by_w)
    )  # fmt: skip


def test_a_look_names_weights_beside_targets(judged: tuple[Desk, Path, Path]) -> None:
    """Who changes weights would change nothing that was written down; who has none would find every look another."""
    folder = judged[1].parent
    looks = [read_json(path) for path in sorted((folder / "looks").glob("*.json"))]
    groups = next(each["groups"] for each in looks if "groups" in each)
    assert {"g0", "g1", "g2", "g3", "g4"} == set(groups)
    assert all(len(entry["weights"]) == 64 for entry in groups.values())
    assert ["w"] == [each["weight"] for each in looks if "gate" in each]


def test_init_writes_a_study_with_weights(desk: Desk) -> None:
    """A first study would count rows alike, or learn from how much they count."""
    table().drop("label").write_csv("table.csv")
    arguments = ["init", "table.csv", "--group", "site", "--target", "y", "--weight", "w", "--out", "first.yaml"]
    assert 0 == CliRunner().invoke(app, arguments).exit_code
    resolved = Study.load(desk.folder / "first.yaml").resolve()
    assert ("w", ["a", "b"]) == (resolved.config["corpus"]["weight"], resolved.config["corpus"]["features"])
