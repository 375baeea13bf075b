"""From a study file to a resolved study: every default filled in, and an identity that only training can change."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heldout.errors import CorpusError, StudyError
from heldout.run.resolve import lock_yaml
from heldout.study import load_yaml

RIDGE = "sklearn.linear_model.Ridge"
FOREST = {"estimator": "sklearn.ensemble.RandomForestRegressor", "params": {"random_state": 3}}


def test_defaults_are_filled_in_and_frozen(desk: Any) -> None:
    """A default that changes with a later version would change what a run says that it trained."""
    config = desk.load().resolve().config
    assert {"kind": "leave-one-group-out", "shared_rows": 0.1} == config["split"]
    assert {"estimator": RIDGE, "features": None, "params": {}, "scale": True} == config["fit"]
    assert ("table", None, []) == tuple(config["corpus"][key] for key in ("reader", "features", "ignore"))
    assert {"draws": 100, "level": 0.95, "seed": 0} == config["bootstrap"]
    assert "path" not in config["corpus"]


def test_lock_file_reads_back_as_the_configuration(desk: Any, tmp_path: Path) -> None:
    """`study.lock.yaml` would say something else than what was trained."""
    config = desk.load(fit={"estimator": RIDGE, "params": {"alpha": 5e-4}}).resolve().config
    (tmp_path / "lock.yaml").write_text(lock_yaml(config))
    assert dict(config) == load_yaml(tmp_path / "lock.yaml").value


@given(
    st.one_of(
        st.text(alphabet="0123456789.eE+-_:~ noytrue\n'\"#", max_size=8), st.floats(), st.integers(), st.booleans()
    )
)
@example("5e-4")
@example("089")
@example("no")
def test_lock_file_keeps_text_text_and_numbers_numbers(value: Any) -> None:
    """A group named `5e-4` or `089` would come back as a number, and a check of the lock would cry wolf."""
    if isinstance(value, float) and not math.isfinite(value):
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "lock.yaml")
        path.write_text(lock_yaml({"value": value}))
        found = load_yaml(path).value["value"]
    assert (type(value), value) == (type(found), found)


SAME: dict[str, dict[str, Any]] = {
    "another description": {"description": "of the same thing"},
    "another gate": {"gate": {"rules": [{"id": "rmse", "metric": "rmse", "at_most": 1}]}},
    "another interval": {"bootstrap": {"draws": 500}},
    "no baselines": {"baselines": []},
    "another folder of runs": {"runs": "elsewhere"},
    "a default written out": {"split": {"kind": "leave-one-group-out"}},
}
OTHER: dict[str, dict[str, Any]] = {
    "fit": {"fit": {"estimator": RIDGE, "params": {"alpha": 2.0}}},
    "seeds": {"seeds": [0, 1, 2]},
    "split": {"split": {"kind": "group-k-fold", "folds": 2}},
    "corpus": {"corpus": {"path": "table.csv", "group": "person", "target": "score", "ignore": ["id"]}},
}


@pytest.mark.parametrize("change", SAME)
def test_what_is_not_trained_is_not_in_the_identity(desk: Any, change: str) -> None:
    """A better description would throw away a night of training."""
    assert desk.load().resolve().sha256 == desk.load(**SAME[change]).resolve().sha256


@pytest.mark.parametrize("change", OTHER)
def test_what_is_trained_is_in_the_identity(desk: Any, change: str) -> None:
    """Two different models would share one run directory and one verdict."""
    assert desk.load().resolve().sha256 != desk.load(**OTHER[change]).resolve().sha256


def test_where_the_corpus_lies_is_not_in_the_identity(desk: Any) -> None:
    """A colleague with another folder could reproduce nothing."""
    moved = desk.table.rename(desk.folder / "moved.csv")
    changed = {"path": str(moved), "group": "person", "target": "score", "id": "id"}
    assert desk.load().resolve().sha256 == desk.load(corpus=changed).resolve().sha256


def test_corpus_path_starts_at_the_study(desk: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A study would run from its own folder only."""
    monkeypatch.chdir(tmp_path.parent)
    assert desk.table == desk.load().resolve().corpus_path


def test_baselines_are_fitted_with_the_first_seed_only(desk: Any) -> None:
    """A baseline would cost as much as the variant itself."""
    resolved = desk.load(seeds=[7, 8]).resolve()
    assert (7, 8) == resolved.main.seeds
    assert [("mean", (7,))] == [(each.id, each.seeds) for each in resolved.baselines]


def test_variant_is_an_overlay(desk: Any) -> None:
    """A variant would train the base configuration."""
    study = desk.load(variants=[{"id": "soft", "set": {"fit.params": {"alpha": 9.0}}}])
    assert ["base", "soft"] == study.variants
    assert {"alpha": 9.0} == study.resolve("soft").config["fit"]["params"]
    assert study.resolve().sha256 != study.resolve("soft").sha256


@pytest.mark.parametrize(
    "overlay", [{"description": "new words"}, {"fit.estimator": RIDGE}, {"gate.min_groups": 2}, {"fit.scale": True}]
)
def test_variant_that_changes_nothing_is_refused(desk: Any, overlay: dict[str, Any]) -> None:
    """Two names for one model would stand in the table as if they had been compared."""
    study = desk.load(variants=[{"id": "twin", "set": overlay}])
    with pytest.raises(StudyError, match="changes nothing") as caught:
        study.resolve("twin")
    assert str(desk.folder / "study.yaml") in str(caught.value.where)


def test_override_makes_a_smoke_run(desk: Any) -> None:
    """A quick look with five epochs could be promoted."""
    assert desk.load().resolve().smoke is None
    assert "`--set fit.scale`" in str(desk.load(["fit.scale=false"]).resolve().smoke)


def test_override_that_changes_nothing_is_refused(desk: Any) -> None:
    """A typo in the value would pass for a smoke run of something new."""
    with pytest.raises(StudyError, match="changes nothing"):
        desk.load(["seeds=[0, 1]"])


WRONG: list[tuple[dict[str, Any], str, str, str]] = [
    ({"backbone": "sklaern"}, "no backbone named 'sklaern'", "study.yaml:", "did you mean 'sklearn'"),
    ({"corpus": {"reader": "tabel", "path": "t"}}, "no reader named 'tabel'", "study.yaml:", "did you mean 'table'"),
    ({"fit": {"estimater": RIDGE}}, "unknown key `fit.estimater`", "study.yaml:", "did you mean 'estimator'"),
    ({"fit": {}}, "`fit.estimator` is missing", "study.yaml:", "add `estimator:`"),
    ({"corpus": {"path": "table.csv", "group": "person"}}, "`corpus.target` is missing", "study.yaml:", "add"),
    ({"gate": {"min_groups": 3}}, "the gate has no rules", "study.yaml:", "gate.rules"),
    (
        {"backbone": "fr_regressor", "fit": {}},
        "cannot learn from the reader 'table'",
        "study.yaml:",
        "video_frames",
    ),
    (
        {"baselines": [{"id": "twin", "backbone": "sklearn", "fit": {"estimator": RIDGE}}] * 2},
        "two baselines are named 'twin'",
        "study.yaml:",
        "once",
    ),
]


@pytest.mark.parametrize(("change", "what", "where", "hint"), WRONG, ids=[each[1] for each in WRONG])
def test_wrong_study_is_refused_with_its_place(desk: Any, change: Any, what: str, where: str, hint: str) -> None:
    """A typo would train something else, or end in a traceback."""
    with pytest.raises(StudyError) as caught:
        desk.load(**change).resolve()
    assert what in caught.value.what
    assert where in str(caught.value.where)
    assert hint in str(caught.value.hint)


def test_gate_of_the_backbone_applies_where_the_study_declares_no_rules(desk: Any) -> None:
    """The published thresholds would not be those that judge, or the study's own number of seeds would be ignored."""
    video = {"corpus": {"reader": "video_frames", "path": "x.jsonl"}, "backbone": "fr_regressor", "fit": {}}
    gate = desk.load(**video, gate={"min_seeds": 2}).resolve().gate
    assert ["mean-plcc", "plcc-spread", "every-seed"] == [rule.id for rule in gate.rules]
    assert (2, 3) == (gate.min_seeds, gate.min_groups)
    assert ["plcc"] == [rule.id for rule in desk.load(**video).resolve().gate.rules]


def test_a_backbone_of_the_other_kind_is_refused_before_anything_is_fitted(desk: Any) -> None:
    """Every fold would be fitted, one after the other, only to fail."""
    frame = pl.read_csv(desk.table)
    frame.with_columns(score=pl.when(pl.col("score") > 0).then(pl.lit("up")).otherwise(pl.lit("down"))).write_csv(
        desk.table
    )
    gate = {"rules": [{"id": "accuracy", "metric": "accuracy", "at_least": 0.5}]}
    with pytest.raises(StudyError, match="cannot learn a classification target"):
        desk.prepare(backbone="market_noise", fit={}, baselines=[], gate=gate)


@pytest.mark.parametrize("fit", [{"estimator": "sklearn.dummy.DummyClassifier"}, None])
def test_a_target_of_one_class_is_refused_before_anything_is_fitted(desk: Any, fit: dict[str, Any] | None) -> None:
    """Everything would be fitted, and the first metric end with an error of numpy."""
    pl.read_csv(desk.table).with_columns(score=pl.lit("up")).write_csv(desk.table)
    gate = {"rules": [{"id": "accuracy", "metric": "accuracy", "at_least": 0.5}]}
    more: dict[str, Any] = {"fit": fit} if fit else {"backbone": "market_noise", "fit": {}}
    with pytest.raises(CorpusError, match="the target has one class, 'up', in all 60 rows") as caught:
        desk.prepare(**more, baselines=[], gate=gate)
    assert "column score" == caught.value.where
    assert "corpus.target" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "the seeds are as given, and no random_state is given"),
        ({"backbone": "ridge", "fit": {}}, "the backbone 'ridge' takes no random_state"),
        ({"fit": FOREST, "seeds": [0, 1]}, "`random_state` is set by the seeds"),
        ({"fit": FOREST | {"random_state": "as_given"}, "seeds": [0, 1]}, "2 seeds would give one model"),
    ],
)
def test_seeds_as_given_are_one_fit_with_a_given_state(desk: Any, changes: dict[str, Any], words: str) -> None:
    """Two fits of one model would pass for two that agree, or a model be judged that nobody can fit again."""
    with pytest.raises(StudyError, match=words) as caught:
        desk.load(**({"seeds": "as_given"} | changes)).resolve()
    assert "study.yaml" in str(caught.value.where)
    assert caught.value.hint


def test_seeds_as_given_reach_a_choice_and_leave_alone_who_draws_nothing(desk: Any) -> None:
    """A candidate would draw from another stream than the study says, or a baseline of the mean be refused."""
    select = {"space": {"fit.params.max_depth": [1, 2]}, "inner": {"kind": "group-k-fold", "folds": 2}}
    resolved = desk.load(seeds="as_given", fit=FOREST, select=select).resolve()
    candidates = resolved.config["fit"]["among"].values()
    assert ["as_given"] * 2 == [each["fit"]["random_state"] for each in candidates]
    assert ["random_state" in each["fit"] for each in resolved.config["baselines"]] == [False]
    assert (0,) == resolved.main.seeds
    drawn = FOREST | {"params": {}}
    assert resolved.sha256 != desk.load(seeds=[0], fit=drawn, select=select).resolve().sha256
