"""The rule "second hardware": declared before, judged fold by fold, and never by a run of itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from portable_kit import Judged, make_judged

from heldout.errors import TamperedError
from heldout.evidence import dumps, read_json
from heldout.package.kit.agreement import judge_agreement
from heldout.package.kit.bundle import build_bundle
from heldout.package.kit.importing import import_bundle
from heldout.verify.evidence import RunEvidence


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """The same study on other rows: as if another encoder had made them."""
    return make_judged(tmp_path_factory.mktemp("second"), seed=1)


def outcomes(document: dict[str, object]) -> dict[str, str]:
    return {rule["id"]: rule["outcome"] for rule in document["rules"]}  # type: ignore[attr-defined]


@pytest.mark.slow
def test_folds_that_agree_pass_and_others_fail(judged: Judged, second: Judged) -> None:
    """Any second run would confirm the first, or none would."""
    lead, operator = RunEvidence.open(judged.folder), RunEvidence.open(second.folder)
    for tolerance, outcome, verdict in ((1.0, "PASS", "PROMOTE"), (1e-9, "FAIL", "HOLD")):
        found = judge_agreement(lead, operator, {"plcc": tolerance}, "k" * 64)
        assert (outcome, verdict) == (outcomes(found)["second-hardware-plcc"], found["verdict"])
    assert {"s0", "s1", "s2", "s3"} == {fold["fold"] for fold in found["folds"]}
    assert not found["same_corpus"]
    for fold in found["folds"]:
        assert fold["difference"] == pytest.approx(fold["operator"] - fold["lead"])


@pytest.mark.slow
def test_a_run_cannot_confirm_itself(judged: Judged) -> None:
    """A copy of the lead's own run would count as a second machine."""
    lead = RunEvidence.open(judged.folder)
    found = judge_agreement(lead, lead, {"plcc": 1.0}, None)
    assert ("UNKNOWN", "HOLD") == (outcomes(found)["second-hardware-plcc"], found["verdict"])


@pytest.mark.slow
def test_another_configuration_confirms_nothing(judged: Judged, tmp_path: Path) -> None:
    """A run with other seeds or parameters would stand for the study."""
    other = make_judged(tmp_path / "other", alpha=2.0)
    found = judge_agreement(RunEvidence.open(judged.folder), RunEvidence.open(other.folder), {"plcc": 1.0}, None)
    assert "another configuration" in found["rules"][-1]["sentence"]
    assert "HOLD" == found["verdict"]


@pytest.mark.slow
def test_no_declared_tolerance_confirms_nothing(judged: Judged, second: Judged) -> None:
    """The bound could be chosen after the numbers were seen."""
    found = judge_agreement(RunEvidence.open(judged.folder), RunEvidence.open(second.folder), {}, None)
    assert {"lead-verdict": "PASS", "operator-verdict": "PASS", "second-hardware": "UNKNOWN"} == outcomes(found)


@pytest.mark.slow
def test_a_hold_of_either_is_a_hold(judged: Judged, tmp_path: Path) -> None:
    """Agreement about a bad model would promote it."""
    held = make_judged(tmp_path / "held", seed=1, bound=0.99999)
    found = judge_agreement(RunEvidence.open(judged.folder), RunEvidence.open(held.folder), {"plcc": 1.0}, None)
    assert ("FAIL", "HOLD") == (outcomes(found)["operator-verdict"], found["verdict"])


def test_import_compares_by_the_tolerance_of_the_kit(judged: Judged, second: Judged, tmp_path: Path) -> None:
    """The operator could widen the tolerance that the lead declared."""
    kit = tmp_path / "kit"
    kit.mkdir()
    (kit / "kit.json").write_bytes(dumps({"schema": "heldout.kit/1", "second_hardware": {"tolerance": {"plcc": 1.0}}}))
    made = build_bundle(second.folder, tmp_path / "b.tar.gz", kit=kit)
    found = import_bundle(made.path, tmp_path / "imports", against=judged.folder, kit=kit)
    assert found.agreement is not None
    assert ("PROMOTE", True) == (found.agreement["verdict"], found.promoted)
    assert found.agreement == read_json(found.folder / "second_hardware.json")
    assert json.loads(json.dumps(found.to_json()))["second_hardware"]["kit_sha256"] == made.document["kit_sha256"]
    other = Path(shutil.copytree(kit, tmp_path / "other"))
    (other / "kit.json").write_bytes(dumps({"schema": "heldout.kit/1", "second_hardware": {"tolerance": {"plcc": 0}}}))
    with pytest.raises(TamperedError, match="not of this kit"):
        import_bundle(made.path, tmp_path / "imports", kit=other)


def test_verdict_files_are_not_touched_by_an_import(judged: Judged, second: Judged, tmp_path: Path) -> None:
    """A verdict would say something else than what it was signed for."""
    before = (judged.folder / "PROMOTE.json").read_bytes()
    made = build_bundle(second.folder, tmp_path / "b.tar.gz")
    found = import_bundle(made.path, tmp_path / "imports", against=judged.folder)
    assert before == (judged.folder / "PROMOTE.json").read_bytes()
    assert (second.folder / "PROMOTE.json").read_bytes() == (found.run / "PROMOTE.json").read_bytes()
    assert not found.promoted
