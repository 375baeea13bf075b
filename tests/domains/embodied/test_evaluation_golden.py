"""Evaluations that were made before rules were registered: they still verify, and say what nobody asked them then."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest
from archive_kit import OURS

from heldout.domains.embodied.contract.contracts import load_registry
from heldout.domains.embodied.evaluate.plan import Plan
from heldout.domains.embodied.evaluate.run import run
from heldout.verify import verify_path

GOLDEN = Path(__file__).parent / "golden" / "evaluations.tar.xz"


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index and evaluations of it, by heldout at c3ae7e5."""
    home = tmp_path_factory.mktemp("old")
    with tarfile.open(GOLDEN) as archive:
        archive.extractall(home, **OURS)
    return home


@pytest.mark.parametrize(
    ("name", "verdict"),
    [("nearest", "HOLD"), ("loose", "PROMOTE"), ("empty", "PROMOTE"), ("champion", "HOLD"), ("scored", "HOLD")],
)
def test_an_older_evaluation_still_verifies(name: str, verdict: str, old: Path) -> None:
    """Evidence that was given to somebody would turn into TAMPERED by an update of the tool."""
    found = verify_path(old / name)
    assert (True, verdict) == (found.holds, found.verdict), found.broken


def test_an_index_that_was_looked_at_before_goes_on_under_the_same_rules(old: Path, tmp_path: Path) -> None:
    """An update of the tool would ask everybody for a reason why nothing changed; or nobody why something did."""
    shutil.copytree(old / "index", tmp_path / "index")
    ledger = tmp_path / "index/trials.jsonl"
    for looks, expected in ((1, "PASS"), (3, "FAIL")):  # the second and third were by other contracts
        ledger.write_text("".join((old / "index/trials.jsonl").read_text().splitlines(keepends=True)[:looks]))
        contract = load_registry(tmp_path)["qwen3_omni_lora"]
        done = run(Plan(tmp_path / "index", "majority"), contract, tmp_path / f"runs/{looks}")
        rules = {rule["id"]: rule["outcome"] for rule in done["verdict"]["rules"]}
        assert expected == rules["pre-registered"], looks
        shutil.rmtree(tmp_path / "runs")
        for name in ("policies.jsonl", "openings.jsonl"):
            (tmp_path / "index" / name).unlink(missing_ok=True)
