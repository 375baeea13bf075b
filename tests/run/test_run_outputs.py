"""Several targets at once, on the whole road: each is judged, and all together; numbers are scikit-learn's."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_pinball_loss, r2_score, root_mean_squared_error
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut, cross_val_predict
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.svm import SVR

import heldout
from heldout import Study
from heldout.documents.names import CORPUS_FILE, PREDICTIONS_FILE
from heldout.errors import HeldoutError, InputError
from heldout.evidence import dumps, read_json, read_json_lines
from heldout.registry import Registry, add, promote
from heldout.run import Run
from heldout.shadow import ShadowStore, join_outcomes, run_shadow
from heldout.shadow.outcomes import read_matured
from heldout.verify.chain import BrokenError
from heldout.verify.corpus_file import check_corpus_file
from heldout.verify.evidence import RunEvidence
from heldout.verify.results import check_predictions
from heldout.verify.trials import check_ledger

SITES, ROWS = 6, 15
BASE: dict[str, Any] = {
    "study": "both",
    "corpus": {"path": "table.csv", "group": "site", "target": ["a", "b"]},
    "backbone": "sklearn",
    "fit": {"estimator": "sklearn.linear_model.Ridge", "scale": False},
    "seeds": [0],
    "metrics": ["r2", "pinball@0.9@b", "bias@a"],
    "gate": {
        "rules": [
            {"id": "both", "metric": "rmse", "against": "trivial", "above": 0},
            {"id": "one", "metric": "rmse@a", "against": "trivial", "above": 0},
            {"id": "other", "metric": "rmse@b", "over": "pooled", "at_most": 60},
        ]
    },
    "bootstrap": {"draws": 100},
}


def table() -> pl.DataFrame:
    """Two targets of other units, which other features tell."""
    rng = np.random.default_rng(3)
    x, z, p, q = rng.normal(size=(4, SITES * ROWS))
    site = [f"s{number % SITES}" for number in range(SITES * ROWS)]
    return pl.DataFrame({"site": site, "x": x, "z": z, "a": x + 0.3 * p + 1.0, "b": 100.0 * (z + 0.3 * q) - 7.0})


def study(folder: Path, **changes: Any) -> Study:
    if not (folder / "table.csv").exists():
        table().write_csv(folder / "table.csv")
    (folder / "study.yaml").write_text(json.dumps(BASE | changes))
    return Study.load(folder / "study.yaml")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("outputs")
    return study(folder).run(runs=folder / "runs", workers=1)


@pytest.fixture
def copy(judged: Run, tmp_path: Path) -> Path:
    """The run in a place where it may be edited, its table two folders above."""
    shutil.copytree(judged.folder.parent.parent.parent, tmp_path / "copy")
    return tmp_path / "copy" / judged.folder.relative_to(judged.folder.parent.parent.parent)


def by_hand() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, predictions and sites, by scikit-learn alone."""
    frame = table()
    x, y, site = frame.select("x", "z").to_numpy(), frame.select("a", "b").to_numpy(), frame["site"].to_numpy()
    return y, cross_val_predict(Ridge(), x, y, groups=site, cv=LeaveOneGroupOut()), site


def test_predictions_and_metrics_are_those_of_scikit_learn(judged: Run) -> None:
    """A mean over targets would be another number than everybody else's, or one of a single target."""
    truth, said, site = by_hand()
    table = judged.predictions
    assert np.allclose(said, table.select("prediction_a", "prediction_b").to_numpy(), rtol=1e-9)
    assert np.array_equal(truth, table.select("target_a", "target_b").to_numpy())
    block = judged.numbers["ensemble"]
    assert root_mean_squared_error(truth, said) == pytest.approx(block["pooled"]["rmse"], rel=1e-9)
    assert r2_score(truth, said) == pytest.approx(block["pooled"]["r2"], rel=1e-9)
    one = root_mean_squared_error(truth[:, 0], said[:, 0])
    assert one == pytest.approx(block["pooled"]["rmse@a"], rel=1e-9)
    loss = mean_pinball_loss(truth[:, 1], said[:, 1], alpha=0.9)
    assert loss == pytest.approx(block["pooled"]["pinball@0.9@b"], rel=1e-9)
    for name in np.unique(site):
        rows = site == name
        assert root_mean_squared_error(truth[rows], said[rows]) == pytest.approx(block["folds"][name]["rmse"], rel=1e-9)
    biases = (said - truth).mean(axis=0)
    assert biases[np.abs(biases).argmax()] == pytest.approx(block["pooled"]["bias"], rel=1e-9)
    assert biases[0] == pytest.approx(block["pooled"]["bias@a"], rel=1e-9)
    assert ["a", "b"] == judged.numbers["outputs"] == read_json(judged.folder / CORPUS_FILE)["outputs"]


def test_whoever_knows_nothing_answers_for_each_target(judged: Run) -> None:
    """A gate would be compared with the mean of another target, which anybody beats."""
    truth, _, site = by_hand()
    known = judged.numbers["trivial"]["contenders"]
    for name in np.unique(site):
        trains = truth[site != name]
        assert trains.mean(axis=0) == pytest.approx(known["mean"]["answers"][name], rel=1e-9)
        assert np.median(trains, axis=0) == pytest.approx(known["median"]["answers"][name], rel=1e-9)
    means = np.stack([truth[site != name].mean(axis=0) for name in site])
    gains = [
        root_mean_squared_error(truth[site == name, 0], means[site == name, 0])
        - judged.numbers["ensemble"]["folds"][name]["rmse@a"]
        for name in np.unique(site)
    ]
    found = judged.numbers["comparisons"]["trivial"]["rmse@a"]
    assert found["gain"] <= np.mean(gains) + 1e-12  # the least gain over anybody who knows nothing
    assert "PROMOTE" == judged.verdict


@pytest.mark.slow
def test_the_run_verifies_with_its_corpus_and_its_fits(judged: Run) -> None:
    """A verdict over several targets would be nobody's to check."""
    assert judged.verify(corpus=judged.folder.parents[2] / "table.csv", refit=True).holds
    report = judged.report.read_text()
    assert all(f"{name}: Predicted against measured" in report for name in ("a", "b"))


def _targets_named_otherwise(run: Path) -> None:
    document = read_json(run / CORPUS_FILE)
    (run / CORPUS_FILE).write_bytes(dumps(document | {"outputs": ["b", "a"]}))


def _another_target(run: Path) -> None:
    rows = read_json_lines(run / PREDICTIONS_FILE)
    rows[3]["target_b"] += 1.0
    (run / PREDICTIONS_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(
    ("change", "link", "where"),
    [
        (_targets_named_otherwise, check_predictions, "columns target_NAME"),
        (_another_target, check_corpus_file, "column target_b"),
        (_another_target, check_ledger, "trials.jsonl"),
    ],
)
def test_a_target_that_was_changed_is_found(copy: Path, change: Any, link: Any, where: str) -> None:
    """The second target could be another one than was judged."""
    change(copy)
    with pytest.raises(BrokenError) as broken:
        link(RunEvidence.open(copy, copy.parents[2] / "table.csv"))
    assert where in f"{broken.value.where}"


@pytest.mark.parametrize(("first", "second"), [(["b"], ["x", "b"]), (["a", "b"], "b"), (["a", "b"], ["b", "a"])])
def test_a_target_that_was_looked_at_is_known_again(tmp_path: Path, first: Any, second: Any) -> None:
    """Whoever adds a column of noise to the targets would look at the same groups anew, by other rules."""
    loose = {"rules": [{"id": "loose", "metric": "rmse", "against": "trivial", "above": -1}]}
    tight = {"rules": [{"id": "tight", "metric": "mae", "against": "trivial", "above": 0}]}
    known = {"path": "table.csv", "group": "site", "features": ["z"]}
    study(tmp_path, corpus=known | {"target": first}, gate=tight, metrics=[]).run(runs=tmp_path / "runs", workers=1)
    changes: dict[str, Any] = {"study": "anew", "corpus": known | {"target": second}, "gate": loose, "metrics": []}
    prepared = study(tmp_path, **changes).prepare(runs=tmp_path / "runs")
    policy = prepared.books.policy(prepared.declared)
    assert "scored by run" in str(policy.against) or "registered for the study both" in str(policy.against)


@pytest.mark.parametrize("target", ["a", "b"])
def test_a_copy_of_any_target_among_the_features_is_found(tmp_path: Path, target: str) -> None:
    """The second target could be learnt from a column that is it."""
    table().with_columns(copy=pl.col(target) * 2.0).write_csv(tmp_path / "table.csv")
    found = study(tmp_path).prepare()
    assert [("HO-G005", True)] == [(each.code, each.blocking) for each in found.findings if "copy" in each.where]


RULE: dict[str, Any] = {"id": "r", "at_most": 1}
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "one-output": (
        {"fit": {"estimator": "sklearn.svm.SVR"}},
        "sklearn.svm.SVR learns one target, and the corpus has 2: a, b",
        "sklearn.multioutput.MultiOutputRegressor",
    ),
    "one-output-in-a-search": (
        {
            "fit": {
                "estimator": "sklearn.model_selection.GridSearchCV",
                "params": {"estimator": {"estimator": "sklearn.svm.SVR"}, "param_grid": {"C": [1.0]}},
            }
        },
        "GridSearchCV learns one target",
        "MultiOutputRegressor",
    ),
    "another-backbone": ({"backbone": "ridge", "fit": {}}, "the backbone 'ridge' learns one target", "for each target"),
    "no-such-target": ({"gate": {"rules": [RULE | {"metric": "rmse@c"}]}}, "no target 'c'", "a, b"),
    "one-target": (
        {
            "corpus": {"path": "table.csv", "group": "site", "target": "a"},
            "gate": {"rules": [RULE | {"metric": "rmse@a"}]},
        },
        "one target, and 'rmse@a' names one of several",
        "write rmse",
    ),
    "coverage": (
        {"gate": {"rules": [{"id": "r", "metric": "coverage", "level": 0.9, "at_least": 0.8}]}},
        "coverage of several targets at once",
        "for each target",
    ),
    "stratified": ({"split": {"kind": "stratified-group-k-fold", "folds": 3}}, "reads one target", "group-k-fold"),
    "labels": (
        {"corpus": {"path": "table.csv", "group": "site", "target": ["a", "z"], "columns": {"z": "category"}}},
        "holds labels",
        "a study for each target",
    ),
    "twice": (
        {"corpus": {"path": "table.csv", "group": "site", "target": ["a", "a"]}},
        "two things at once",
        "columns",
    ),
    "none": ({"corpus": {"path": "table.csv", "group": "site", "target": []}}, "there is no target", "correct"),
}


@pytest.mark.parametrize(("changes", "what", "hint"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused_before_anything_is_fitted(
    tmp_path: Path, changes: dict[str, Any], what: str, hint: str
) -> None:
    """Units would fail one by one, or a number be judged that is none."""
    with pytest.raises(HeldoutError) as refused:
        study(tmp_path, **({"metrics": []} | changes)).prepare()
    assert what in refused.value.what
    assert hint in str(refused.value.hint)
    assert refused.value.where


ESTIMATORS = {
    "forest": RandomForestRegressor(5, random_state=0),
    "each": MultiOutputRegressor(SVR()),
    "perceptron": MLPRegressor(hidden_layer_sizes=(3,), max_iter=30, random_state=0),
    "search": GridSearchCV(Ridge(), {"alpha": [0.1, 10.0]}, cv=2),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_of_several_outputs_are_evaluated(name: str, tmp_path: Path) -> None:
    """An estimator that says that it takes one target, and takes several, would be refused."""
    frame, model = table(), ESTIMATORS[name]
    x, y = frame.select("x", "z"), frame.select("a", "b")
    run = heldout.evaluate(model, x, y, groups=frame["site"], workers=1, ledger=tmp_path, name="several", metrics="r2")
    assert {"informed", "informed-1", "informed-2"} <= set(run.rules["rule"])
    if name == "each":  # others draw, or split by groups
        said = cross_val_predict(model, x, y.to_numpy(), groups=frame["site"], cv=LeaveOneGroupOut())
        assert np.allclose(said, run.predictions.select("prediction_a", "prediction_b").to_numpy(), rtol=1e-9)
        run = heldout.evaluate(model, x, y.to_numpy(), groups=frame["site"], workers=1, ledger=tmp_path / "arrays")
        assert ["target_y0", "target_y1"] == [name for name in run.predictions.columns if name.startswith("target")]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is watched on Linux")
def test_a_version_is_registered_and_shadowed_target_by_target(judged: Run, copy: Path, tmp_path: Path) -> None:
    """What serves would answer for one target, or an outcome be joined to the prediction of another."""
    with Registry(tmp_path / "registry", create=True) as registry:
        promote(registry, add(registry, copy).id)
        pl.DataFrame({"x": [0.5, 1.5], "z": [0.0, -1.0]}).write_csv(tmp_path / "monday.csv")
        store = ShadowStore(tmp_path / "shadow", "both")
        assert ["predicted"] == [each.state for each in run_shadow(registry, store, tmp_path / "monday.csv").results]
    frame, found = table(), store.predictions().sort("sample_id")
    folds = [
        Ridge().fit(*(part.to_numpy() for part in (rest.select("x", "z"), rest.select("a", "b"))))
        for name in frame["site"].unique()
        for rest in (frame.filter(pl.col("site") != name),)
    ]
    said = np.mean([model.predict(np.array([[0.5, 0.0], [1.5, -1.0]])) for model in folds], axis=0)
    assert np.allclose(said, found.select("prediction_a", "prediction_b").to_numpy(), rtol=1e-9)
    moment = {"sample_id": found["sample_id"], "available_at": ["2046-01-01"] * 2}
    pl.DataFrame(moment | {"outcome_a": [1.0, 2.0], "outcome_b": [3.0, 4.0]}).write_csv(tmp_path / "outcomes.csv")
    later = dt.datetime(2047, 1, 1, tzinfo=dt.UTC)
    assert 2 == join_outcomes(store, tmp_path / "outcomes.csv", now=later).matured
    matured = read_matured(store)
    assert [[1.0, 3.0], [2.0, 4.0]] == matured.select("outcome_a", "outcome_b").to_numpy().tolist()
    pl.DataFrame(moment | {"outcome": [1.0, 2.0]}).write_csv(tmp_path / "one.csv")
    with pytest.raises(InputError, match="on record as outcome_a, outcome_b"):
        join_outcomes(store, tmp_path / "one.csv", now=later)


@pytest.mark.slow
def test_weights_seeds_and_a_rival_are_those_of_scikit_learn(tmp_path: Path) -> None:
    """Rows of several targets would count alike, or a rival's second target be compared with the first."""
    frame = table()
    x, y, site = frame.select("x", "z"), frame.select("a", "b"), frame["site"]
    weight = 1.0 + np.arange(frame.height) % 3
    run = heldout.evaluate(
        RandomForestRegressor(5), x, y, groups=site, against=Ridge(), seeds=[0, 1], weight=weight,
        metrics=["r2", "rmse@b"], workers=1, ledger=tmp_path,
    )  # fmt: skip
    said, truth = np.full((frame.height, 2), np.nan), y.to_numpy()
    for name in site.unique():
        held = (site == name).to_numpy()
        model = Ridge().fit(x.to_numpy()[~held], truth[~held], sample_weight=weight[~held])
        said[held] = model.predict(x.to_numpy()[held])
    pooled = run.numbers["baselines"]["old"]["pooled"]
    assert r2_score(truth, said, sample_weight=weight) == pytest.approx(pooled["r2"], rel=1e-9)
    loss = root_mean_squared_error(truth[:, 1], said[:, 1], sample_weight=weight)
    assert loss == pytest.approx(pooled["rmse@b"], rel=1e-9)
    members = [run.predictions[f"seed{seed}_b"].to_numpy() for seed in (0, 1)]
    assert np.allclose(np.mean(members, axis=0), run.predictions["prediction_b"].to_numpy(), rtol=1e-12)
    assert not np.array_equal(*members)
    assert run.verify(corpus=next(tmp_path.glob("*.parquet")), refit=True).holds
