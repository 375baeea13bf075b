"""Rules are written down before anybody looks; whoever changes them afterwards says why, and is counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from heldout import Study
from heldout.cli.main import app
from heldout.errors import InputError, TamperedError
from heldout.evidence import read_json_lines
from heldout.run.ledger import Ledger
from heldout.run.planning import gate_plan
from heldout.run.policy import POLICY_FILE, Registered, amend, policy_at, read_policies, register
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
FIRST = Registered("corpus", "split", "policy")


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


def test_rules_changed_after_the_look_cannot_promote(desk: Path) -> None:
    """A threshold could be lowered to what was reached."""
    assert "HOLD" == _study(desk, 0.99999).run(workers=1).verdict
    run = _study(desk, 0.5).run(workers=1)
    assert "HOLD" == run.verdict
    assert any("changed after the first look" in reason for reason in run.document["reasons"])
    assert False is run.document["policy"]["registered"]


def test_a_plan_under_changed_rules_says_that_they_cannot_promote(desk: Path) -> None:
    """The hours of a training would be spent on a verdict that was HOLD before it began."""
    _study(desk, 0.5).run(workers=1)
    _study(desk, 0.4)
    plan = gate_plan(Study.load("study.yaml").prepare())
    assert (False, False) == (plan["registered"], plan["can_promote"])
    CliRunner().invoke(app, ["gate", "amend", "study.yaml", "--reason", "two words"])
    assert gate_plan(Study.load("study.yaml").prepare())["can_promote"]


def test_restoring_the_rules_needs_no_reason(desk: Path) -> None:
    """Somebody who tried a change and took it back would be punished for ever."""
    _study(desk, 0.5).run(workers=1)
    _study(desk, 0.4).run(workers=1)
    assert "PROMOTE" == _study(desk, 0.5).run(workers=1).verdict


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


def test_a_quick_look_with_other_rules_registers_nothing(desk: Path) -> None:
    """An experiment on the command line would become the declared policy."""
    _study(desk, 0.5)
    Study.load("study.yaml", ["gate.min_groups=2"]).run(workers=1)
    assert [] == read_policies(_folder(desk))
    assert "PROMOTE" == Study.load("study.yaml").run(workers=1).verdict


def test_a_verdict_that_claims_registration_is_tampered(desk: Path) -> None:
    """The block could be edited to hide that rules were changed."""
    _study(desk, 0.99999).run(workers=1)
    folder = _study(desk, 0.5).run(workers=1).folder
    (_folder(desk) / POLICY_FILE).unlink()
    broken = verify_run(folder).broken
    assert broken is not None
    assert "policies" in str(broken.what)


def test_an_edited_record_is_found(tmp_path: Path) -> None:
    """The first policy could be replaced by the one that passes."""
    with Ledger(tmp_path) as held:
        register(held, tmp_path, FIRST)
    amend(tmp_path, Registered("corpus", "split", "other"), "two words")
    path = tmp_path / POLICY_FILE
    lines = path.read_text().splitlines()
    first = json.loads(lines[0]) | {"policy_sha256": "other"}
    path.write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    with pytest.raises(TamperedError, match="changed, removed"):
        policy_at(tmp_path, FIRST)


@pytest.mark.parametrize("reason", ["", "because", "   "])
def test_an_amendment_needs_a_reason(tmp_path: Path, reason: str) -> None:
    """A record without a reason explains nothing."""
    with Ledger(tmp_path) as held:
        register(held, tmp_path, FIRST)
    with pytest.raises(InputError, match="reason"):
        amend(tmp_path, Registered("corpus", "split", "other"), reason)
    assert 1 == len(list(read_json_lines(tmp_path / POLICY_FILE)))


def test_nothing_to_amend_is_said(tmp_path: Path) -> None:
    """Amendments would pile up that change nothing."""
    with pytest.raises(InputError, match="nothing was registered"):
        amend(tmp_path, FIRST, "two words")
    with Ledger(tmp_path) as held:
        register(held, tmp_path, FIRST)
    with pytest.raises(InputError, match="already registered"):
        amend(tmp_path, FIRST, "two words")


def test_another_corpus_has_a_policy_of_its_own(tmp_path: Path) -> None:
    """New data could not be judged without an amendment of the old."""
    with Ledger(tmp_path) as held:
        register(held, tmp_path, FIRST)
        assert register(held, tmp_path, Registered("new corpus", "s", "p")).registered
        assert not register(held, tmp_path, Registered("corpus", "another split", "policy")).registered
