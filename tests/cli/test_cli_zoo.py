"""``heldout zoo`` and ``heldout shadow`` as people and scripts call them: words, documents, exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")
STIFF = {"id": "stiff", "owner": "ann", "set": {"fit.params": {"alpha": 100.0}}}
STIFFER = {"id": "stiffer", "parent": "stiff", "hypothesis": "more of it", "set": {"fit.params.tol": 0.1}}


def document(answer: Any) -> Any:
    assert answer.out, answer.err
    return json.loads(answer.out)


@pytest.mark.slow
def test_a_roster_is_listed_shown_and_compared(heldout: Callable[..., Any], write_study: Callable[..., Path]) -> None:
    """Nobody could see what a variant changes without reading the file and all its ancestors."""
    write_study(variants=[STIFF, STIFFER])
    answer = heldout("zoo", "list")
    assert 0 == answer.code
    assert "stiffer" in answer.out
    assert "never" in answer.out
    listed = document(heldout("zoo", "list", "--json"))
    assert ("heldout.zoo/1", ["base", "stiff", "stiffer"]) == (
        listed["schema"], [each["id"] for each in listed["variants"]],
    )  # fmt: skip
    shown = document(heldout("zoo", "show", "stiffer", "--json"))
    assert {"alpha": 100.0, "tol": 0.1} == shown["config"]["fit"]["params"]
    assert ["base", "stiff", "stiffer"] == shown["line"]
    assert "owner" in heldout("zoo", "show", "stiff").out
    assert "fit.params.tol: null -> 0.1\n" == heldout("zoo", "diff", "stiff", "stiffer").out
    found = document(heldout("zoo", "diff", "base", "stiff", "--json"))
    assert {"fit.params.alpha": {"one": None, "other": 100.0}} == found["differences"]


def test_problem_01_23_a_roster_that_is_wrong_says_so(
    heldout: Callable[..., Any], write_study: Callable[..., Path]
) -> None:
    """A variant that cannot be trained would be found out at night, one at a time."""
    write_study(variants=[{"id": "v", "set": {"fit.sacle": False}}])
    answer = heldout("zoo", "list")
    assert 2 == answer.code
    assert "did you mean 'scale'?" in answer.out
    assert 2 == heldout("zoo", "show", "v").code
    assert 2 == heldout("zoo", "diff", "base", "v").code
    assert 2 == heldout("zoo", "show", "w").code


def test_problem_06_an_empty_roster_exits_2(heldout: Callable[..., Any], write_study: Callable[..., Path]) -> None:
    """A rotation that trains nothing would be green."""
    write_study(variants=[STIFF | {"status": "paused"}])
    for words in (["train", "--all-active"], ["rotate", "--budget", "2"]):
        answer = heldout("zoo", *words)
        assert 2 == answer.code
        assert "the roster is empty" in answer.err
    assert 2 == heldout("zoo", "train").code
    assert 2 == heldout("zoo", "train", "--variant", "stiff").code
    assert 2 == heldout("zoo", "train", "--variant", "nobody").code


@pytest.mark.slow
def test_train_shadow_and_join(heldout: Callable[..., Any], write_study: Callable[..., Path], tmp_path: Path) -> None:
    """The commands would work one by one and not after each other."""
    impossible = {"rules": [{"id": "plcc", "metric": "plcc", "over": "pooled", "at_least": 0.9}], "min_groups": 50}
    write_study(variants=[STIFF], gate=impossible)
    found = document(heldout("zoo", "train", "--all-active", "--workers", 1, "--json"))
    assert (["held", "held"], 0) == ([each["state"] for each in found["results"]], found["exit_code"])
    # [27] Why this run could not have won, whatever it had found.
    assert all("50" in " ".join(each["could_not"]) for each in found["results"])
    champion, challenger = (each["version"] for each in found["results"])
    assert 2 == heldout("shadow", "run", "--batch", "table.csv").code
    assert 0 == heldout("registry", "promote", champion, "--override", "--reason", "the first").code

    (tmp_path / "monday.csv").write_text("weight\n1.0\n-1.0\n")
    run = document(heldout("shadow", "run", "--batch", "monday.csv", "--json"))
    assert [champion, challenger] == [each["version"] for each in run["results"]]
    assert "already" in heldout("shadow", "run", "--batch", "monday.csv").out
    assert "already" in heldout("shadow", "backfill").out
    listed = document(heldout("shadow", "list", "--json"))
    assert (champion, 2) == (listed["batches"][0]["served"], len(listed["batches"][0]["predictions"]))
    assert "served by" in heldout("shadow", "list").out
    (tmp_path / "outcomes.csv").write_text("sample_id,outcome,available_at\nmonday/0,3.0,2036-01-02\n")
    early = document(heldout("shadow", "join", "--outcomes", "outcomes.csv", "--as-of", "2036-01-01", "--json"))
    assert (0, 1) == (early["added"], early["not_yet"])
    later = heldout("shadow", "join", "--outcomes", "outcomes.csv", "--as-of", "2036-02-01")
    assert "2 predictions matured" in later.out
    assert 2 == heldout("shadow", "backfill", "--since", "soon").code
    assert 2 == heldout("shadow", "join", "--outcomes", "outcomes.csv", "--as-of", "soon").code
