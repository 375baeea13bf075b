"""A variant may stand on another one's verdict: the same model, judged along another axis."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from heldout.errors import StudyError
from heldout.run import Run
from heldout.verify import verify_run

RULE = {"id": "plcc", "metric": "plcc", "over": "pooled", "at_least": 0.9}
STUDY: dict[str, Any] = {
    "study": "axes",
    "variants": [{"id": "halves", "set": {"split": {"kind": "group-k-fold", "folds": 2}}}],
    "gate": {"rules": [RULE], "requires": ["halves"]},
}


def _run(desk: Any, variant: str = "base", **changes: Any) -> Run:
    run: Run = desk.load(**(STUDY | changes)).run(variant, runs=desk.runs, workers=1)
    return run


def _outcome(run: Run) -> str:
    (rule,) = (rule for rule in run.document["rules"] if rule["id"] == "requires-halves")
    return str(rule["outcome"])


def test_without_the_other_verdict_nothing_is_decided(desk: Any) -> None:
    """The second axis could simply be left out."""
    run = _run(desk)
    assert ("HOLD", "UNKNOWN") == (run.verdict, _outcome(run))


@pytest.mark.slow
def test_the_other_verdict_lets_it_through_and_is_named(desk: Any) -> None:
    """A model that holds along both axes would never be promoted."""
    _run(desk)
    halves = _run(desk, "halves")
    assert "PROMOTE" == halves.verdict
    assert {} == halves.document["required"]
    base = _run(desk)
    assert ("PROMOTE", "PASS") == (base.verdict, _outcome(base))
    assert halves.folder.name == base.document["required"]["halves"]["run"]
    assert verify_run(base.folder).broken is None


@pytest.mark.slow
def test_a_verdict_of_another_corpus_file_does_not_count(desk: Any) -> None:
    """An old success on other data would carry the new one."""
    _run(desk)
    _run(desk, "halves")
    frame = pl.read_csv(desk.table)
    frame.with_columns(weight=pl.col("weight") + 1e-3).write_csv(desk.table)
    assert "UNKNOWN" == _outcome(_run(desk))


@pytest.mark.slow
def test_a_quick_look_does_not_count(desk: Any) -> None:
    """One epoch along the second axis would do."""
    _run(desk)
    desk.load(["fit.params={alpha: 2.0}"], **STUDY).run("halves", runs=desk.runs, workers=1)
    assert "UNKNOWN" == _outcome(_run(desk))


@pytest.mark.slow
def test_a_verdict_that_was_given_again_is_seen(desk: Any) -> None:
    """The other run could be judged anew, and this verdict would still name the old one."""
    _run(desk)
    halves = _run(desk, "halves")
    base = _run(desk)
    (halves.folder / "report.html").unlink()
    (halves.folder / "PROMOTE.json").write_bytes((halves.folder / "PROMOTE.json").read_bytes() + b"\n")
    broken = verify_run(base.folder).broken
    assert broken is not None
    assert "judged again" in str(broken.what)


def test_a_variant_that_does_not_exist_is_refused(desk: Any) -> None:
    """A typing error would make the gate UNKNOWN for ever."""
    with pytest.raises(StudyError, match="requires the variant 'halfs'") as caught:
        _run(desk, gate={"rules": [RULE], "requires": ["halfs"]})
    assert "did you mean 'halves'" in str(caught.value)
