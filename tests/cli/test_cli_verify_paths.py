"""`heldout verify` with several paths: the shell turns `runs/study/base-*` into as many as there are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Heldout = Callable[..., Any]
WriteStudy = Callable[..., Path]


@pytest.fixture
def runs(heldout: Heldout, write_study: WriteStudy, tmp_path: Path) -> dict[str, Path]:
    """A run that holds, a copy that was touched, and a folder that is no run."""
    assert 0 == heldout("run", write_study(), "--workers", "1").code
    (whole,) = Path("runs/small").glob("base-*")
    touched, none = tmp_path / "touched", tmp_path / "none"
    shutil.copytree(whole, touched)
    (touched / "RUN_REPORT.md").write_text("better than it was\n")
    none.mkdir()
    return {"whole": whole, "touched": touched, "none": none}


@pytest.mark.slow
def test_several_paths_are_verified_in_turn_and_the_worst_counts(heldout: Heldout, runs: dict[str, Path]) -> None:
    """The first run that cannot be read would hide that another one was tampered with."""
    answer = heldout("verify", runs["none"], runs["touched"], runs["whole"])
    assert 3 == answer.code, answer.err
    heads = [answer.out.index(f"{runs[name]}:") for name in ("none", "touched", "whole")]
    assert sorted(heads) == heads
    first, second, third = answer.out[: heads[1]], answer.out[heads[1] : heads[2]], answer.out[heads[2] :]
    assert "error [HO-E100]: INVALID: this is no run directory" in first
    assert "TAMPERED at the link" in second
    assert "VERIFIED PROMOTE" in third
    assert 2 == heldout("verify", runs["whole"], runs["none"]).code
    assert 0 == heldout("verify", runs["whole"], runs["whole"]).code


def test_several_paths_make_one_document_and_one_makes_its_own(heldout: Heldout, runs: dict[str, Path]) -> None:
    """A program could not read the answer, or would break where a second run appears."""
    answer = heldout("verify", runs["whole"], runs["none"], "--json")
    document = json.loads(answer.out)
    assert ("heldout.verifications/1", 2, 2) == (document["schema"], document["exit_code"], answer.code)
    whole, none = document["paths"]
    assert (str(runs["whole"]), 0, None) == (whole["path"], whole["exit_code"], whole["error"])
    assert (2, None, "HO-E100") == (none["exit_code"], none["verification"], none["error"]["code"])
    assert str(runs["none"]) == none["error"]["where"]
    alone = json.loads(heldout("verify", runs["whole"], "--json").out)
    assert ("heldout.verification/1", whole["verification"]) == (alone["schema"], alone)


def test_the_run_of_an_export_belongs_to_one_path(heldout: Heldout, runs: dict[str, Path]) -> None:
    """An export would be compared with a run that it never came from."""
    answer = heldout("verify", runs["whole"], runs["touched"], "--run", runs["whole"])
    assert (2, "") == (answer.code, answer.out)
    assert "--run names the run of one export, and 2 paths were given" in answer.err
    assert "fix:" in answer.err
