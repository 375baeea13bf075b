"""Rules are written down before anybody looks; whoever changes them afterwards says why, and is counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from heldout import Study
from heldout.cli.main import app
from heldout.documents.names import POLICY_FILE
from heldout.errors import InputError, TamperedError
from heldout.evidence import read_json_lines
from heldout.ledger.policy import amend, read_policies
from heldout.run.planning import gate_plan
from heldout.verify import verify_run

STUDY = """
study: registered
corpus: {{path: table.csv, group: site, target: y}}
backbone: sklearn
fit: {{estimator: sklearn.linear_model.Ridge}}
seeds: [0]
baselines: []
bootstrap: {{draws: 100}}
gate: {{rules: [{{id: plcc, metric: plcc, over: pooled, at_least: {bound}}}]}}
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table of three sites that a line explains."""
    rng = np.random.default_rng(8)
    rows = [f"{site},{x},{2 * x + noise}" for site in "abc" for x, noise in rng.normal(size=(40, 2)).tolist()]
    (tmp_path / "table.csv").write_text("\n".join(["site,x,y", *rows]) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _study(desk: Path, bound: float) -> Study:
    (desk / "study.yaml").write_text(STUDY.format(bound=bound))
    return Study.load(desk / "study.yaml")


def _folder(desk: Path) -> Path:
    return desk / "runs" / "registered"


@pytest.mark.slow
def test_rules_changed_after_the_look_cannot_promote(desk: Path) -> None:
    """A threshold could be lowered to what was reached."""
    assert "HOLD" == _study(desk, 0.99999).run(workers=1).verdict
    run = _study(desk, 0.5).run(workers=1)
    assert "HOLD" == run.verdict
    assert any("changed after the first look" in reason for reason in run.document["reasons"])
    assert False is run.document["policy"]["registered"]


@pytest.mark.slow
def test_a_plan_under_changed_rules_says_that_they_cannot_promote(desk: Path) -> None:
    """The hours of a training would be spent on a verdict that was HOLD before it began."""
    _study(desk, 0.5).run(workers=1)
    _study(desk, 0.4)
    plan = gate_plan(Study.load("study.yaml").prepare())
    assert (False, False) == (plan["registered"], plan["can_promote"])
    CliRunner().invoke(app, ["gate", "amend", "study.yaml", "--reason", "two words"])
    assert gate_plan(Study.load("study.yaml").prepare())["can_promote"]


@pytest.mark.slow
def test_restoring_the_rules_needs_no_reason(desk: Path) -> None:
    """Somebody who tried a change and took it back would be punished for ever."""
    _study(desk, 0.5).run(workers=1)
    _study(desk, 0.4).run(workers=1)
    assert "PROMOTE" == _study(desk, 0.5).run(workers=1).verdict


@pytest.mark.slow
def test_an_amendment_lets_changed_rules_decide_and_stays_on_record(desk: Path) -> None:
    """A reasoned change would be impossible, or be made without a trace."""
    _study(desk, 0.99999).run(workers=1)
    _study(desk, 0.5)
    done = CliRunner().invoke(app, ["gate", "amend", "study.yaml", "--reason", "the bound was above the noise"])
    assert 0 == done.exit_code, done.output
    run = _study(desk, 0.5).run(workers=1)
    assert "PROMOTE" == run.verdict
    assert ["the bound was above the noise"] == run.document["policy"]["amendments"]
    assert verify_run(run.folder).broken is None


@pytest.mark.slow
def test_the_policy_is_written_down_before_anything_is_fitted(desk: Path) -> None:
    """A run killed in its middle would leave predictions to look at, and rules still to be chosen."""
    from heldout.run.execute import execute

    class StopError(Exception):
        pass

    def stop(record: object) -> None:
        raise StopError

    with pytest.raises(StopError):
        execute(_study(desk, 0.5).prepare(), workers=1, listener=stop)
    (record,) = read_policies(_folder(desk))
    assert (0, None) == (record["looks"], record["reason"])
    assert "HOLD" == _study(desk, 0.4).run(workers=1).verdict


@pytest.mark.slow
def test_a_quick_look_registers_nothing_and_binds_to_what_the_file_says(desk: Path) -> None:
    """An experiment on the command line would become the declared policy, or cost an honest study an amendment."""
    _study(desk, 0.5)
    Study.load("study.yaml", ["gate.min_groups=2"]).run(workers=1)
    assert [] == read_policies(_folder(desk))
    assert "HOLD" == _study(desk, 0.4).run(workers=1).verdict
    assert "PROMOTE" == _study(desk, 0.5).run(workers=1).verdict


def test_a_verdict_that_claims_registration_is_tampered(desk: Path) -> None:
    """The block could be edited to hide that rules were changed."""
    _study(desk, 0.99999).run(workers=1)
    folder = _study(desk, 0.5).run(workers=1).folder
    (_folder(desk) / POLICY_FILE).unlink()
    broken = verify_run(folder).broken
    assert broken is not None
    assert "policies" in str(broken.what)


@pytest.mark.slow
def test_an_edited_record_is_found(desk: Path) -> None:
    """The first policy could be replaced by the one that passes."""
    _study(desk, 0.99999).run(workers=1)
    _study(desk, 0.5)
    assert 0 == CliRunner().invoke(app, ["gate", "amend", "study.yaml", "--reason", "two words"]).exit_code
    path = _folder(desk) / POLICY_FILE
    lines = path.read_text().splitlines()
    first = json.loads(lines[0]) | {"policy_sha256": "other"}
    path.write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    with pytest.raises(TamperedError, match="changed, removed"):
        _study(desk, 0.5).run(workers=1)


@pytest.mark.parametrize("reason", ["", "because", "   "])
def test_an_amendment_needs_a_reason(desk: Path, reason: str) -> None:
    """A record without a reason explains nothing."""
    _study(desk, 0.99999).run(workers=1)
    prepared = _study(desk, 0.5).prepare()
    with pytest.raises(InputError, match="reason"):
        amend(prepared.study, prepared.declared, reason)
    assert 1 == len(list(read_json_lines(_folder(desk) / POLICY_FILE)))


def test_nothing_to_amend_is_said(desk: Path) -> None:
    """Amendments would pile up that change nothing."""
    prepared = _study(desk, 0.5).prepare()
    with pytest.raises(InputError, match="nothing was registered"):
        amend(prepared.study, prepared.declared, "two words")
    _study(desk, 0.5).run(workers=1)
    with pytest.raises(InputError, match="already registered"):
        amend(prepared.study, prepared.declared, "two words")


@pytest.mark.slow
def test_another_corpus_has_a_policy_of_its_own(desk: Path) -> None:
    """New data could not be judged without an amendment of the old; the same data with another split could."""
    assert "PROMOTE" == _study(desk, 0.5).run(workers=1).verdict
    old = (desk / "table.csv").read_text()
    rng = np.random.default_rng(9)
    rows = [f"{site},{x},{2 * x + noise}" for site in "def" for x, noise in rng.normal(size=(40, 2)).tolist()]
    (desk / "table.csv").write_text("\n".join(["site,x,y", *rows]) + "\n")
    run = _study(desk, 0.4).run(workers=1)
    assert ("PROMOTE", []) == (run.verdict, run.document["policy"]["notes"])
    (desk / "table.csv").write_text(old)
    study = _study(desk, 0.5)
    study.file.document.path.write_text(STUDY.format(bound=0.5) + "split: {kind: group-k-fold, folds: 3}\n")
    assert "HOLD" == Study.load("study.yaml").run(workers=1).verdict
