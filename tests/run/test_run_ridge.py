"""A study of the ridge backbone from the table to a public package; and that its folds come from one pass."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from market_kit import frame as frame_of
from market_kit import prices, reader

from heldout.errors import StudyError
from heldout.evidence import read_json
from heldout.fit.ridge import RidgeBackbone
from heldout.package.public.publish import package_public
from heldout.package.verify.any import verify_any
from heldout.registry import Registry, add
from heldout.run import Study, fitting, models
from heldout.verify import verify_run
from heldout.verify.evidence import RunEvidence
from heldout.verify.refit import check_refit

RIDGE: dict[str, Any] = {"backbone": "ridge", "fit": {"alpha": 0.5}, "seeds": [0]}


def held_out(folder: Path) -> Any:
    return RunEvidence.open(folder).predictions.ensemble


def test_a_run_predicts_what_scikit_learn_does_fold_by_fold(desk: Any) -> None:
    """The closed form would show another model than the one that it names."""
    mine = desk.run(**RIDGE).folder
    fit = {"estimator": "sklearn.linear_model.Ridge", "params": {"alpha": 0.5}}
    peer = desk.run(fit=fit, seeds=[0]).folder
    np.testing.assert_allclose(held_out(mine), held_out(peer), rtol=1e-9, atol=1e-9)


def test_every_group_is_read_once_however_many_folds_there_are(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fold would cost a pass over all rows, as a refit does."""
    read: list[tuple[str, int]] = []
    summarise = RidgeBackbone.summarise

    def counted(self: RidgeBackbone, view: Any) -> Any:
        read.append((str(view.groups[0]), len(view.target)))
        return summarise(self, view)

    prepared = desk.prepare(**RIDGE)
    units = [unit for unit, _ in prepared.main.plan.pending]
    monkeypatch.setattr(RidgeBackbone, "summarise", counted)
    backbone, corpus = prepared.resolved.main.backbone, prepared.corpus
    assert 4 == len(list(models.models(backbone, units, corpus, desk.folder)))
    assert [("ann", 12), ("bob", 14), ("cyd", 16), ("dan", 18)] == sorted(read)


@pytest.mark.slow
@pytest.mark.parametrize(
    "split",
    [
        {"kind": "leave-one-group-out"},
        {"kind": "group-k-fold", "folds": 2},
        {"kind": "fixed", "test": ["bob", "dan"]},
    ],
    ids=lambda split: str(split["kind"]),
)
def test_units_fitted_apart_are_the_same_to_the_last_bit(
    desk: Any, split: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where groups are too small for sums, or after a resume, another model would be stored under the same key."""
    together = desk.run(**RIDGE, split=split).folder
    monkeypatch.setattr(fitting, "fits_here", lambda *_: False)
    apart = desk.load(**RIDGE, split=split).run(runs=desk.folder / "apart", workers=1).folder
    files = [path.relative_to(together) for path in together.glob("fits/*/*/*.safetensors")]
    assert files
    for name in files:
        assert (together / name).read_bytes() == (apart / name).read_bytes(), name


@pytest.mark.slow
def test_groups_smaller_than_their_sums_are_fitted_apart(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of a million small groups over many features would take more memory than the table."""
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({f"x{number}": rng.normal(size=60) for number in range(12)})
    frame.with_columns(person=pl.Series([f"p{row // 3}" for row in range(60)]), score=frame["x0"] * 2).write_csv(
        desk.table
    )
    corpus = {"path": "table.csv", "group": "person", "target": "score"}
    prepared = desk.prepare(**RIDGE, corpus=corpus, split={"kind": "group-k-fold", "folds": 4})
    assert models.fits_here(prepared.resolved.main.backbone, prepared.corpus)  # a few sums are no matter
    monkeypatch.setattr(models, "_LITTLE", 0)
    assert not models.fits_here(prepared.resolved.main.backbone, prepared.corpus)
    narrow = desk.prepare(**RIDGE, corpus=corpus | {"features": ["x0"]})
    assert models.fits_here(narrow.resolved.main.backbone, narrow.corpus)
    run = desk.run(**RIDGE, corpus=corpus, split={"kind": "group-k-fold", "folds": 4})
    assert 4 + 4 == len(desk.fitted(run.folder))


def test_one_fold_that_cannot_be_fitted_leaves_the_others(desk: Any) -> None:
    """One strange group would cost the folds that do without it."""
    frame = pl.read_csv(desk.table)
    huge = pl.when(pl.col("person") == "dan").then(1e150).otherwise("weight")
    frame.with_columns(weight=huge).write_csv(desk.table)
    units = [unit for unit, _ in desk.prepare(**RIDGE).main.plan.pending]
    prepared = desk.prepare(**RIDGE)
    found = list(models.models(prepared.resolved.main.backbone, units, prepared.corpus, desk.folder))
    assert {"ann": True, "bob": True, "cyd": True, "dan": False} == {
        each.unit.fold.id: each.error is not None for each in found
    }


def test_a_model_without_randomness_has_one_seed(desk: Any) -> None:
    """Five copies of one model would pass for five fits that agree."""
    with pytest.raises(StudyError, match="2 seeds would give one model") as error:
        desk.prepare(backbone="ridge", fit={}, seeds=[3, 4])
    assert "seeds: [3]" in str(error.value.hint)
    path = desk.write(backbone="ridge", fit={})
    study = json.loads(path.read_text())
    del study["seeds"]
    path.write_text(json.dumps(study))
    assert (0,) == Study.load(path).resolve().main.seeds


@pytest.mark.slow
def test_it_is_checked_judged_registered_verified_and_packed(desk: Any, tmp_path: Path) -> None:
    """It would be a backbone for the table of a report and not for the road."""
    study = desk.load(**RIDGE, baselines=[{"id": "weak", "backbone": "ridge", "fit": {"alpha": 1e4}}])
    assert [] == study.check().blocking
    gate = {"rules": [
        {"id": "plcc", "metric": "plcc", "over": "pooled", "at_least": 0.9},
        {"id": "size", "metric": "model_bytes", "at_most": 10_000},
    ]}  # fmt: skip
    run = desk.run(**RIDGE, gate=gate)
    assert "PROMOTE" == run.verdict
    assert "as saved" == read_json(run.folder / "costs.json")["form"]
    assert "no randomness" in (run.folder / "RUN_REPORT.md").read_text()
    verify_run(run.folder).raise_if_broken()
    assert "to the last bit" in check_refit(RunEvidence.open(run.folder, desk.table))
    with Registry(tmp_path / "registry", create=True) as registry:
        assert "candidate" == add(registry, run.folder).stage
    package = package_public(run.folder, tmp_path / "public.tar.gz")
    verify_any(package.path).raise_if_broken()


@pytest.mark.slow
def test_frames_and_panels_are_learnt_from_too(desk: Any) -> None:
    """A linear contender would have to be written once more in every domain."""
    rng = np.random.default_rng(0)
    rows = []
    for source, encoder, cq in itertools.product(range(4), ("libx264", "libx265"), (19, 31)):
        for frame in range(8):
            loss = float(np.exp((cq - 31) / 9 + 0.1 * source + 0.1 * rng.normal()))
            six = {f"vif_scale{scale}": float(np.exp(-loss / (scale + 1))) for scale in range(4)}
            six |= {"adm2": 1 - 0.07 * loss, "motion2": 2.0 + source}
            row = {"src": f"source{source}", "encoder": encoder, "cq": cq, "frame_index": frame}
            rows.append(json.dumps(row | six | {"vmaf": 100 - 20 * loss}))
    (desk.folder / "frames.jsonl").write_text("\n".join(rows) + "\n")
    frames = {"corpus": {"reader": "video_frames", "path": "frames.jsonl"}}
    panel = reader(desk.folder, frame_of(prices(400, 6)), block=30, forward_days=10).options.model_dump(mode="json")
    split = {"kind": "walk-forward", "warmup": 4, "window": 2}
    market = {"corpus": panel | {"reader": "market_panel"}, "split": split}
    for study in (frames, market):
        peer = {"estimator": "sklearn.linear_model.Ridge", "params": {"alpha": 0.5}}
        mine = desk.run(**RIDGE, **study, baselines=[]).folder
        other = desk.run(fit=peer, seeds=[0], **study, baselines=[]).folder
        np.testing.assert_allclose(held_out(mine), held_out(other), rtol=1e-8, atol=1e-10)
