"""Runs of before looks were recorded by group: what was written then stays readable, and stays verified."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from heldout import Study
from heldout.errors import TamperedError
from heldout.ledger.policy import amend, read_policies
from heldout.verify import verify_run

ARCHIVE = Path(__file__).parent / "golden" / "run-before-group-looks.tar.xz"


@pytest.fixture
def older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study with a HOLD, an amendment and a PROMOTE, as the first edition of the ledger counted them."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_of_before_still_verifies(older: Path) -> None:
    """Every verdict that was ever given would be called TAMPERED by a new version."""
    (run,) = (path.parent for path in older.glob("runs/attacked/*/PROMOTE.json"))
    found = verify_run(run, corpus=older / "table.csv")
    assert found.broken is None
    assert "OK" == {link.id: link.state for link in found.links}["ledger"]


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
