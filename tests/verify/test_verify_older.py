"""Runs of before looks were recorded by group: what was written then stays readable, and stays verified."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from archive_kit import OURS

from heldout import Run, Study
from heldout.corpus import table
from heldout.errors import TamperedError
from heldout.evidence import read_json, write_json
from heldout.ledger.policy import amend, read_policies
from heldout.run.layout import write_manifest
from heldout.run.resolve import lock_yaml
from heldout.study import load_yaml
from heldout.task.predictions import read_predictions
from heldout.verify import verify_run

ARCHIVE = Path(__file__).parent / "golden" / "run-before-group-looks.tar.xz"
# A run of each kind of split, made when folds and keys of fits still named all training groups.
KINDS = Path(__file__).parent / "golden" / "runs-before-lean-folds.tar.xz"


@pytest.fixture
def older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study with a HOLD, an amendment and a PROMOTE, as the first edition of the ledger counted them."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, **OURS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_of_before_still_verifies(older: Path) -> None:
    """Every verdict that was ever given would be called TAMPERED by a new version."""
    (run,) = (path.parent for path in older.glob("runs/attacked/*/PROMOTE.json"))
    found = verify_run(run, corpus=older / "table.csv")
    assert found.broken is None
    assert "OK" == {link.id: link.state for link in found.links}["ledger"]


@pytest.mark.slow
def test_a_ledger_of_before_is_gone_on_with(older: Path) -> None:
    """An upgrade would cost everybody an amendment, or make changed rules the first ones."""
    study = older / "study.yaml"
    run = Study.load(study).run(workers=1)
    assert ("PROMOTE", ["the first bound was above the noise"]) == (run.verdict, run.document["policy"]["amendments"])
    assert verify_run(run.folder).broken is None
    study.write_text(study.read_text().replace("0.7", "0.6"))
    loosened = Study.load(study).run(workers=1)
    assert "HOLD" == loosened.verdict
    prepared = Study.load(study).prepare()
    amend(prepared.study, prepared.declared, "the bound was above what anybody needs")
    assert "PROMOTE" == Study.load(study).run(workers=1).verdict


def test_a_ledger_of_before_without_its_registrations_is_no_fresh_start(older: Path) -> None:
    """Whoever deletes the registrations could write down what he has seen."""
    (older / "runs/attacked/policies.jsonl").unlink()
    study = older / "study.yaml"
    study.write_text(study.read_text().replace("0.7", "0.6"))
    with pytest.raises(TamperedError, match=r"policies\.jsonl is missing"):
        Study.load(study).run(workers=1)
    assert [] == read_policies(older / "runs/attacked")


@pytest.fixture(params=["logo", "parts", "named", "forward", "purged"])
def before(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study with one run, a PROMOTE, whose split is a document of the first schema."""
    with tarfile.open(KINDS) as archive:
        archive.extractall(tmp_path, **OURS)
    monkeypatch.chdir(tmp_path / request.param)
    return tmp_path / request.param


def _run_of(study: Path) -> Path:
    (verdict,) = study.glob("runs/*/*/PROMOTE.json")
    return verdict.parent


def test_a_split_of_before_still_verifies(before: Path) -> None:
    """Every run with folds that name their training groups would be called TAMPERED."""
    run = _run_of(before)
    assert "heldout.split/1" == read_json(run / "split.json")["schema"]
    found = verify_run(run, corpus=before / "table.csv", refit_too=True)
    states = {link.id: link.state for link in found.links}
    assert {"OK"} == {states[name] for name in ("split", "units", "predictions", "metrics", "guards", "corpus-file")}
    assert found.broken is None


def test_a_training_group_that_was_moved_is_found(before: Path) -> None:
    """A fold of the first schema could train on what it tests."""
    run = _run_of(before)
    document = read_json(run / "split.json")
    document["folds"][0]["train"].append(document["folds"][0]["test"][0])
    write_json(run / "split.json", document)
    write_manifest(run)
    broken = verify_run(run).broken
    assert broken is not None


def test_what_a_study_declares_has_the_digests_of_before(before: Path) -> None:
    """Every registration would be of another study after an upgrade, and every look of another variant."""
    run, study = _run_of(before), Study.load(before / "study.yaml")
    assert lock_yaml(study.resolve().config) == (run / "study.lock.yaml").read_text()
    assert read_json(run / "run.json")["variant_sha256"] == study.resolve().sha256


@pytest.mark.first_is_fast
def test_the_same_variant_is_the_same_attempt_after_an_upgrade(before: Path) -> None:
    """An upgrade would cost everybody an attempt, or an amendment."""
    first = Run(_run_of(before))
    again = Study.load(before / "study.yaml").run(workers=1)
    assert "heldout.split/2" == read_json(again.folder / "split.json")["schema"]
    assert (first.verdict, 1, 1) == (again.verdict, again.document["trial"]["attempt"], again.document["trial"]["of"])
    assert first.folder != again.folder
    other = Study.load(before / "study.yaml").run("soft", workers=1)
    assert (2, 2) == (other.document["trial"]["attempt"], other.document["trial"]["of"])
    for run in (again, other):
        assert verify_run(run.folder, corpus=before / "table.csv").broken is None
    predictions = [read_predictions(each.folder / "predictions.jsonl", [0]) for each in (first, again)]
    assert np.allclose(predictions[0].ensemble, predictions[1].ensemble)


@pytest.mark.first_is_fast
def test_a_champion_of_before_is_of_the_same_split(before: Path) -> None:
    """Every challenger would be told that the champion was scored on another split."""
    (before / "other.yaml").write_text(f"{(before / 'study.yaml').read_text()}champion: {_run_of(before)}\n")
    prepared = Study.load(before / "other.yaml").prepare("soft")
    assert prepared.resolved.champion is not None


def test_a_run_whose_groups_lost_their_zeros_still_verifies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run of a table with subjects 001 to 006 would be broken by an update."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    groups = [f"{row // 10 + 1:03d}" for row in range(60)]
    pl.DataFrame({"g": groups, "x": x, "y": x + 0.1 * rng.normal(size=60)}).write_csv(tmp_path / "t.csv")
    study = {
        "study": "zeros",
        "corpus": {"path": "t.csv", "group": "g", "target": "y", "zeros": "drop"},
        "backbone": "ridge",
        "seeds": [0],
        "gate": {"rules": [{"id": "good", "metric": "plcc", "over": "pooled", "at_least": 0.5}]},
    }
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    with monkeypatch.context() as before:
        before.setattr(table, "_PLAIN", {**table._PLAIN, "zeros": "drop"})  # no lock of then says it
        run = Study.load(tmp_path / "study.yaml").run(runs=tmp_path / "runs", workers=1)
    assert "zeros" not in load_yaml(run.folder / "study.lock.yaml").value["corpus"]
    assert list("123456") == [group["id"] for group in read_json(run.folder / "corpus.json")["groups"]]
    verify_run(run.folder, corpus=tmp_path / "t.csv").raise_if_broken()
