"""`heldout check`: what each exit code means, on the terminal and as a document."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from heldout.corpus.guards import TITLES
from heldout.evidence import loads
from heldout.run import check

Heldout = Callable[..., Any]
WriteStudy = Callable[..., Path]


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: that fresh ones are asked too is tested where the guard is."""
    whole = check.guard_fitted
    monkeypatch.setattr(check, "guard_fitted", lambda *words, fresh: whole(*words, fresh=False))


def document(answer: Any) -> dict[str, Any]:
    found: dict[str, Any] = loads(answer.out.encode(), where="stdout")
    return found


def test_a_clean_study_exits_0(heldout: Heldout, write_study: WriteStudy) -> None:
    """A pipeline that asks before it spends compute would stop at sound data, or not say what was looked at."""
    study = write_study()
    answer = heldout("check", study)
    assert (0, "") == (answer.code, answer.err)
    lines = answer.out.splitlines()
    assert sorted(TITLES) == re.findall(r"HO-G\d+", answer.out)
    assert lines[-1].startswith("CLEAN small / base")
    whole = document(heldout("check", study, "--json"))
    assert ("heldout.check/1", True, "small", "base") == tuple(
        whole[key] for key in ("schema", "clean", "study", "variant")
    )
    assert sorted(TITLES) == [guard["code"] for guard in whole["guards"]]
    assert not Path("runs").exists()


def test_a_blocking_finding_exits_1(heldout: Heldout, write_study: WriteStudy) -> None:
    """A leak would be printed, and the pipeline go on."""
    study = write_study()
    table = study.parent / "table.csv"
    pl.read_csv(table).with_columns(leak=pl.col("score") * 2).write_csv(table)
    answer = heldout("check", study)
    assert 1 == answer.code
    assert "blocks: the feature 'leak' is the target, up to scale and offset" in answer.out
    whole = document(heldout("check", study, "--json"))
    assert not whole["clean"]
    (guard,) = [guard for guard in whole["guards"] if any(each["blocking"] for each in guard["findings"])]
    assert {"code", "blocking", "what", "where", "hint"} == set(guard["findings"][0])


def test_a_finding_that_does_not_block_exits_0(heldout: Heldout, write_study: WriteStudy) -> None:
    """A column that says nothing would stop a pipeline; or nobody would hear of it."""
    study = write_study()
    table = study.parent / "table.csv"
    pl.read_csv(table).with_columns(flat=pl.lit(1)).write_csv(table)
    answer = heldout("check", study)
    assert 0 == answer.code
    assert "reported: the features flat never change" in answer.out


def test_a_refused_corpus_is_a_finding_where_it_has_its_code(heldout: Heldout, write_study: WriteStudy) -> None:
    """Duplicate ids would look like a typing error in the study."""
    study = write_study(corpus={"path": "table.csv", "group": "person", "target": "score", "id": "id"})
    table = study.parent / "table.csv"
    pl.read_csv(table).with_columns(id=pl.lit("same")).write_csv(table)
    guards = document(heldout("check", study, "--json"))["guards"]
    states = {guard["code"]: guard["state"] for guard in guards}
    assert "FOUND" == states.pop("HO-G004")
    assert {"NOT APPLICABLE"} == set(states.values())


@pytest.mark.parametrize("words", [["missing.yaml"], ["study.yaml", "--variant", "none"]])
def test_bad_input_exits_2(heldout: Heldout, write_study: WriteStudy, words: list[str]) -> None:
    """What could not be checked would look like a leak, or like none."""
    write_study()
    answer = heldout("check", *words)
    assert (2, "") == (answer.code, answer.out)
    assert "fix:" in answer.err
