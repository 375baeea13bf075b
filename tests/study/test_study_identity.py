"""The digest of a resolved variant: what is learnt and how it is held out, not how the file is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from heldout.errors import StudyError
from heldout.evidence import write_text
from heldout.run.resolve import Resolved, resolve
from heldout.study import load_study

STUDY = """\
study: tiny
corpus: {path: rows.csv, group: site, target: y, features: [a, b]}
backbone: sklearn
fit:
  estimator: sklearn.linear_model.Ridge
  params: {alpha: 1.0, tol: 0.001}
seeds: [0, 1]
baselines: []
variants:
  - id: stiff
    set: {fit.params.alpha: 10.0}
  - id: idle
    set: {fit.params.alpha: 1.0}
  - id: lax
    set: {gate.min_seeds: 1}
gate:
  rules: [{id: plcc, metric: plcc, at_least: 0.5}]
"""
Resolve = Callable[..., Resolved]


@pytest.fixture
def resolved(tmp_path: Path) -> Resolve:
    def build(text: str = STUDY, variant: str = "base", sets: Sequence[str] = (), folder: str = "a") -> Resolved:
        path = tmp_path / folder / "study.yaml"
        write_text(path, text)
        return resolve(load_study(path, sets), variant)

    return build


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("alpha: 1.0, tol", "alpha: 2.0, tol"),
        ("seeds: [0, 1]", "seeds: [0, 2]"),
        ("seeds: [0, 1]", "seeds: [0, 1, 2]"),
        ("seeds: [0, 1]", "split: {kind: group-k-fold, folds: 3}\nseeds: [0, 1]"),
        ("features: [a, b]", "features: [a]"),
        ("group: site", "group: batch"),
        ("target: y", "target: z"),
        ("fit:\n", "fit:\n  scale: false\n"),
        ("sklearn.linear_model.Ridge\n  params: {alpha: 1.0, tol: 0.001}", "sklearn.svm.SVR"),
    ],
)
def test_whatever_changes_the_models_changes_the_identity(resolved: Resolve, old: str, new: str) -> None:
    """A verdict over one configuration would be taken for a verdict over another."""
    assert STUDY.count(old) == 1
    assert resolved().sha256 != resolved(STUDY.replace(old, new)).sha256


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{alpha: 1.0, tol: 0.001}", "{tol: 1e-3, alpha: 1.0}"),
        ("path: rows.csv", "path: elsewhere/renamed.csv"),
        ("study: tiny", "study: other"),
        ("seeds: [0, 1]", "description: words\nseeds: [0, 1]"),
        ("fit:\n", "fit:\n  scale: true\n"),
        ("corpus: {path", "corpus: {reader: table, path"),
        ("seeds: [0, 1]", "split: {kind: leave-one-group-out}\nseeds: [0, 1]"),
        ("seeds: [0, 1]", "runs: /elsewhere\nbootstrap: {draws: 500}\nseeds: [0, 1]"),
    ],
)
def test_how_a_study_is_written_and_where_it_lies_do_not_matter(resolved: Resolve, old: str, new: str) -> None:
    """Moving a folder or spelling a default out would throw away finished fits."""
    assert STUDY.count(old) == 1
    assert resolved().sha256 == resolved(STUDY.replace(old, new), folder="b/c").sha256


def test_a_variant_has_an_identity_of_its_own(resolved: Resolve) -> None:
    """Fits of the base would be reused for the variant."""
    assert resolved().sha256 != resolved(variant="stiff").sha256
    written_out = STUDY.replace("alpha: 1.0, tol", "alpha: 10.0, tol")
    assert resolved(written_out).sha256 == resolved(variant="stiff").sha256, "an overlay is what it results in"


@pytest.mark.parametrize(
    ("variant", "what"),
    [
        ("idle", "`fit.params.alpha` of the variant 'idle' changes nothing: 'base' says so already"),
        ("lax", "'lax' changes nothing that is trained"),
    ],
)
def test_a_variant_that_changes_nothing_that_is_trained_is_refused(resolved: Resolve, variant: str, what: str) -> None:
    """Two equal models would stand in the table as an experiment, or one would bring an easier gate of its own."""
    with pytest.raises(StudyError, match=what):
        resolved(variant=variant)


def test_defect_10_an_override_marks_the_run_as_smoke_for_ever(resolved: Resolve) -> None:
    """A dry run of one epoch could be promoted."""
    smoke = resolved(sets=["seeds=[0]"])
    assert resolved().smoke is None
    assert "`--set seeds` overrides the declared study" == smoke.smoke
    assert smoke.smoke == smoke.config["smoke"], "the lock file says so too"


def test_a_study_without_rules_is_refused(resolved: Resolve) -> None:
    """Nothing would be judged, and nobody would notice before the fits are done."""
    with pytest.raises(StudyError, match="the gate has no rules") as caught:
        resolved(STUDY.replace("  rules: [{id: plcc, metric: plcc, at_least: 0.5}]", "  min_seeds: 1"))
    assert (caught.value.where or "").endswith("study.yaml:16:1")


@pytest.mark.parametrize(
    ("old", "new", "place", "what", "near"),
    [
        ("backbone: sklearn", "backbone: sklaern", "3:1", "no backbone named 'sklaern'", "did you mean 'sklearn'?"),
        ("corpus: {path", "corpus: {reader: tabel, path", "2:10", "no reader named 'tabel'", "did you mean 'table'?"),
        ("group: site", "gruop: site", "2:26", "unknown key `corpus.gruop`", "did you mean 'group'?"),
        ("  estimator:", "  estimater:", "5:3", "unknown key `fit.estimater`", "did you mean 'estimator'?"),
    ],
)
def test_a_misspelt_plug_in_or_option_has_a_place_and_a_near_miss(
    resolved: Resolve, old: str, new: str, place: str, what: str, near: str
) -> None:
    """People would search a table of plug-ins for a typing slip."""
    with pytest.raises(StudyError, match=what) as caught:
        resolved(STUDY.replace(old, new))
    assert (caught.value.where or "").endswith(f"study.yaml:{place}")
    assert near in (caught.value.hint or "")
