"""A choice inside each training view: the numbers of a nested loop by hand, and no luck of the best among many."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from heldout import Study
from heldout.corpus import GroupRecord, TrainView
from heldout.errors import HeldoutError
from heldout.evidence import read_json
from heldout.split import load_splitter, split_groups
from heldout.task.select import SelectBackbone, SelectParams
from heldout.testing import BackboneConformance

BASE: dict[str, Any] = {
    "study": "choice",
    "corpus": {"path": "table.csv", "group": "group", "target": "y"},
    "split": {"kind": "leave-one-group-out"},
    "backbone": "sklearn",
    "fit": {"estimator": "sklearn.linear_model.Ridge"},
    "seeds": [0],
    "baselines": [],
    "bootstrap": {"draws": 100},
    "gate": {"min_groups": 3, "rules": [{"id": "r", "metric": "rmse", "at_most": 100}]},
}
ALPHAS = [0.01, 30.0, 3000.0]
FOREST = {"fit.estimator": "sklearn.tree.DecisionTreeRegressor", "fit.params": {"max_depth": 2}}
VARIANTS = [
    {"id": "stiff", "set": {"fit.params": {"alpha": 3000.0}}},
    {"id": "tree", "set": FOREST},
    {"id": "closed", "set": {"backbone": "ridge", "fit": {}}},
]


def chosen(folder: Path, columns: dict[str, Any], select: dict[str, Any], **changes: Any) -> Any:
    pl.DataFrame(columns).write_csv(folder / "table.csv")
    study = BASE | {"variants": VARIANTS, "select": select} | changes
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    return Study.load(folder / "study.yaml").run(runs=folder / "runs", workers=1)


@pytest.fixture
def diabetes() -> dict[str, Any]:
    data = load_diabetes()
    rows = 140
    return {"group": [f"g{row % 7}" for row in range(rows)]} | {
        f"x{column}": data.data[:rows, column] for column in range(4)
    } | {"y": data.target[:rows]}  # fmt: skip


def by_hand(columns: dict[str, Any]) -> tuple[NDArray[Any], list[float]]:
    """Out-of-fold predictions of a nested loop, and what each fold chose."""
    features = np.column_stack([columns[f"x{column}"] for column in range(4)])
    target, group = np.asarray(columns["y"]), np.asarray(columns["group"])
    found, choices = np.empty(len(target)), []

    def fitted(alpha: float, rows: NDArray[Any]) -> Any:
        return make_pipeline(StandardScaler(), Ridge(alpha=alpha)).fit(features[rows], target[rows])

    for outer in sorted(set(group)):
        train = group != outer
        names, counts = np.unique(group[train], return_counts=True)
        records = [GroupRecord(str(name), int(count), str(name)) for name, count in zip(names, counts, strict=True)]
        inner = split_groups(load_splitter({"kind": "group-k-fold", "folds": 3}), records).folds
        scores = []
        for alpha in ALPHAS:
            truth, said = [], []
            for fold in inner:
                test = train & np.isin(group, fold.test)
                said.append(fitted(alpha, train & ~test).predict(features[test]))
                truth.append(target[test])
            scores.append(root_mean_squared_error(np.concatenate(truth), np.concatenate(said)))
        choices.append(ALPHAS[int(np.argmin(scores))])
        found[~train] = fitted(choices[-1], train).predict(features[~train])
    return found, choices


def test_it_is_the_nested_loop_by_hand(tmp_path: Path, diabetes: dict[str, Any]) -> None:
    """A choice that saw one held-out row would look like one that did not."""
    run = chosen(tmp_path, diabetes, {"space": {"fit.params.alpha": ALPHAS}})
    said, choices = by_hand(diabetes)
    assert np.allclose(said, run.predictions["prediction"].to_numpy(), rtol=1e-9)
    names = {0.01: "alpha-0-01", 30.0: "alpha-30-0", 3000.0: "alpha-3000-0"}
    assert [names[each] for each in choices] == run.choices["chosen"].to_list()
    assert {"seed", "fold", "chosen", *names.values()} == set(run.choices.columns)
    assert run.verify(corpus=tmp_path / "table.csv", refit=True).holds


@pytest.mark.slow
def test_choosing_by_the_folds_that_judge_would_have_been_luck(tmp_path: Path) -> None:
    """Nothing is there to be learnt; the best of forty models looks as if there was."""
    rng = np.random.default_rng(5)
    rows, width = 24, 40
    columns: dict[str, Any] = {"group": [f"g{row % 6}" for row in range(rows)]}
    columns |= {f"x{number}": rng.normal(size=rows) for number in range(width)} | {"y": rng.normal(size=rows)}
    features = [[f"x{number}"] for number in range(width)]
    lucky = -np.inf
    for (name,) in features:
        said = np.empty(rows)
        for group in sorted(set(columns["group"])):
            held = np.asarray(columns["group"]) == group
            column = columns[name][:, None]
            said[held] = (
                make_pipeline(StandardScaler(), Ridge()).fit(column[~held], columns["y"][~held]).predict(column[held])
            )
        lucky = max(lucky, r2_score(columns["y"], said))
    run = chosen(tmp_path, columns, {"space": {"fit.features": features}}, metrics=["r2"])
    honest = run.numbers["ensemble"]["pooled"]["r2"]
    assert lucky > 0.05
    assert honest < 0.0


def test_variants_of_several_backbones_can_be_chosen_among(tmp_path: Path, diabetes: dict[str, Any]) -> None:
    """Only grids over one model could be chosen from."""
    run = chosen(tmp_path, diabetes, {"among": ["base", "stiff", "tree", "closed"], "metric": "mae"})
    assert {"base", "stiff", "tree", "closed"} == {*run.choices.columns} - {"seed", "fold", "chosen"}
    assert set(run.choices["chosen"]) < {"base", "stiff", "tree", "closed"}
    assert run.verify(corpus=tmp_path / "table.csv").holds
    alone = Study.load(tmp_path / "study.yaml").run("stiff", runs=tmp_path / "runs", workers=1)
    assert 0 == alone.choices.height
    assert "sklearn" == yaml.safe_load((alone.folder / "study.lock.yaml").read_text())["backbone"]


def test_classes_are_chosen_for_by_their_loss(tmp_path: Path) -> None:
    """A class that stands in one group alone would stop each inner fold that holds it out."""
    data = load_iris()
    labels = [str(data.target_names[code]) for code in data.target]
    groups = ["only" if label == "setosa" else f"g{row % 5}" for row, label in enumerate(labels)]
    columns = {"group": groups, "x": data.data[:, 2], "z": data.data[:, 3], "y": labels}
    fit = {"estimator": "sklearn.linear_model.LogisticRegression"}
    gate = {"min_groups": 3, "rules": [{"id": "r", "metric": "accuracy", "at_least": 0.2}]}
    run = chosen(tmp_path, columns, {"space": {"fit.params.C": [0.01, 1.0]}}, fit=fit, gate=gate, variants=[])
    assert {"c-0-01", "c-1-0"} >= set(run.choices["chosen"])
    assert np.isfinite(run.choices.select("c-0-01", "c-1-0").to_numpy()).all()


def test_a_choice_that_is_edited_is_found(tmp_path: Path, diabetes: dict[str, Any]) -> None:
    """Whoever receives a run would read of another choice than the one that was judged."""
    run = chosen(tmp_path, diabetes, {"space": {"fit.params.alpha": ALPHAS}})
    path = next(run.folder.glob("fits/seed0/*/choice.json"))
    document = json.loads(path.read_text())
    document["chosen"] = next(name for name in document["scores"] if name != document["chosen"])
    path.write_text(json.dumps(document))
    assert not run.verify().holds


@pytest.mark.parametrize("change", ["chosen", "scores", "added"])
def test_a_choice_that_is_forged_with_all_digests_is_found_by_a_refit(
    tmp_path: Path, diabetes: dict[str, Any], change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Predictions alone would be compared, and the scores that a choice was made by would be anybody's."""
    run = chosen(tmp_path, diabetes, {"space": {"fit.params.alpha": ALPHAS}})

    def forged(path: Path) -> Any:
        found = read_json(path)
        if path == target:
            name = next(each for each in found["scores"] if each != found["chosen"])
            edits = {"chosen": {"chosen": name}, "scores": {"scores": found["scores"] | {name: 0.001}}}
            return found | edits.get(change, {"scores": found["scores"] | {"invented": 1.0}})
        return found

    target = next(run.folder.glob("fits/seed0/*/choice.json"))
    monkeypatch.setattr("heldout.verify.refit.read_json", forged)  # as if every digest had been made anew
    found = {link.id: link for link in run.verify(corpus=tmp_path / "table.csv", refit=True).links}
    assert "BROKEN" == found["refit"].state
    assert "choice.json" in str(found["refit"])


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"select": {"among": ["base", "stif"]}}, "stif"),
        ({"select": {"among": ["base"]}}, "at least 2"),
        ({"select": {"space": {"split.folds": [2, 3]}}}, "split.folds"),
        ({"select": {"space": {"fit.params.alpha": [1.0]}}}, "combinations"),
        ({"select": {"among": ["base", "stiff"], "space": {"fit.params.alpha": [1, 2]}}}, "`among` variants, or"),
        ({"select": {"among": ["base", "stiff"], "metric": "rsme"}}, "'rsme' is no metric of a regression"),
        ({"select": {"among": ["base", "stiff"], "inner": {"kind": "k-fold"}}}, "k-fold"),
        (
            {"select": {"among": ["base", "stiff"], "inner": {"kind": "group-k-fold", "folds": 50}}},
            "6 groups to train on",
        ),
        (
            {"select": {"among": ["base", "stiff"], "inner": {"kind": "stratified-group-k-fold", "folds": 2}}},
            "needs more than groups",
        ),
        ({"select": {"space": {"fit.params.alhpa": [1, 2]}}}, "alhpa"),
        (
            {
                "select": {"among": ["base", "wide"]},
                "variants": [{"id": "wide", "set": {"split": {"kind": "group-k-fold", "folds": 2}}}],
            },
            "another `split`",
        ),
    ],
)
def test_what_cannot_be_chosen_among_is_refused(
    tmp_path: Path, diabetes: dict[str, Any], change: dict[str, Any], what: str
) -> None:
    """A night of fits would end in a traceback, or in a choice that nobody declared."""
    with pytest.raises(HeldoutError) as caught:
        chosen(tmp_path, diabetes, **change)
    assert what in str(caught.value)
    assert "study.yaml" in str(caught.value.where)
    assert caught.value.hint


def test_code_from_beside_the_study_is_refused(tmp_path: Path, diabetes: dict[str, Any]) -> None:
    """It would be fitted in this process, where it could read what is held out."""
    (tmp_path / "model.py").write_text("def make():\n    return None\n")
    own = {"id": "own", "set": {"backbone": "python", "fit": {"factory": "model.py:make"}}}
    with pytest.raises(HeldoutError, match="'own' is code from beside the study"):
        chosen(tmp_path, diabetes, {"among": ["base", "own"]}, variants=[own])


def line(**params: Any) -> dict[str, Any]:
    return {"backbone": "sklearn", "fit": {"estimator": "sklearn.linear_model.Ridge", "params": params}}


class TestConformance(BackboneConformance):
    """What is promised of every backbone."""

    backbone = SelectBackbone(
        SelectParams.model_validate({"among": {"loose": line(alpha=0.1), "stiff": line(alpha=10.0)}})
    )


def test_rows_count_by_their_weights(diabetes: dict[str, Any]) -> None:
    """A choice would be made by rows that count nothing."""
    rows = 60
    groups = np.array([f"g{row % 3}" for row in range(rows)])
    x = np.linspace(-1, 1, rows)
    view = TrainView(pl.DataFrame({"x": x}), 3 * x, groups, "regression", None, np.ones(rows))
    backbone = SelectBackbone(
        SelectParams.model_validate(
            {
                "among": {
                    "line": line(),
                    "mean": {"backbone": "sklearn", "fit": {"estimator": "sklearn.dummy.DummyRegressor"}},
                }
            }
        )
    )
    assert "line" == backbone.fit(view, 0, Path("unused")).name
    spoilt = np.where(np.arange(rows) < 6, 1e4, 3 * x)
    weight = np.where(np.arange(rows) < 6, 0.0, 1.0)
    heavy = TrainView(pl.DataFrame({"x": x}), spoilt, groups, "regression", None, weight)
    assert backbone.fit(heavy, 0, Path("unused")).scores["line"] < 1.0
