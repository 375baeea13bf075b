"""``heldout verify`` of an evaluation beside its index: train counts, open truths, and the look in the ledger."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from evaluation_kit import make_index
from forging_kit import Change, counts, metric, put_rows, redigest, rows_of, swap_labels

from heldout.domains.embodied.contract.contracts import load_registry
from heldout.domains.embodied.evaluate.plan import Plan
from heldout.domains.embodied.evaluate.run import run
from heldout.domains.embodied.index.sealed import read_openings
from heldout.verify import verify_path

CONTRACT = "qwen3_omni_lora"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``index`` and the evaluation ``nearest``."""
    home = tmp_path_factory.mktemp("evaluated")
    run(Plan(make_index(home), "nearest"), load_registry(home)[CONTRACT], home / "nearest")
    return home


@pytest.fixture
def home(evaluated: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(evaluated, tmp_path / "home")
    return tmp_path / "home"


def test_beside_its_index_train_counts_and_the_look_are_checked_too(home: Path) -> None:
    """An evaluation that was rewritten whole would hold even where the index and its ledger could tell."""
    links = {link.id: link for link in verify_path(home / "nearest").links}
    assert ("OK", "OK") == (links["index"].state, links["look"].state)
    assert "answers of test are sealed and were not opened" in links["index"].what
    assert 1 == len(read_openings(home / "index"))
    counts(home / "nearest")
    redigest(home / "nearest")
    links = {link.id: link for link in verify_path(home / "nearest").links}
    assert ("BROKEN", "train_labels.json: labels/action/") == (links["index"].state, str(links["index"].where)[:33])
    shutil.rmtree(home / "index")
    links = {link.id: link for link in verify_path(home / "nearest").links}
    assert ("NOT CHECKED", "NOT CHECKED") == (links["index"].state, links["look"].state)


@pytest.mark.parametrize("change", [metric, lambda run: put_rows(run, rows_of(run)[:-1])])
def test_the_look_in_the_ledger_names_metrics_and_windows(change: Change, home: Path) -> None:
    """The best of many evaluations could be told as the only one, with other numbers."""
    change(home / "nearest")
    redigest(home / "nearest")
    look = next(link for link in verify_path(home / "nearest").links if link.id == "look")
    assert ("BROKEN", True) == (look.state, "the ledger recorded another" in look.what)


def test_truths_that_are_not_sealed_are_compared_with_the_index(home: Path) -> None:
    """A validation score could rest on truths that nobody has."""
    run(Plan(home / "index", "majority", split="val"), load_registry(home)[CONTRACT], home / "val")
    links = {link.id: link for link in verify_path(home / "val").links}
    assert ("OK", "NOT CHECKED") == (links["index"].state, links["look"].state)
    assert "the truths of" in links["index"].what
    swap_labels(home / "val")
    redigest(home / "val")
    links = {link.id: link for link in verify_path(home / "val").links}
    assert ("BROKEN", "true_json/action") == (links["index"].state, str(links["index"].where)[-16:])
