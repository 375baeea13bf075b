"""A class in a file beside the study: found, made, stored, and refused before any fit where it cannot be."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from beside_kit import MODEL_PY, asked, python, python_of, view_of

from heldout.backbone import ClassScores
from heldout.backbone.beside.python import PythonParams
from heldout.backbone.skops_archive import archive
from heldout.corpus import Corpus
from heldout.errors import StudyError, TamperedError
from heldout.testing import small_classification, small_regression

NUMBERS = ["length", "count"]


@pytest.fixture(autouse=True)
def _imports_left_alone() -> Iterator[None]:
    """In a run such code is imported in processes of its own."""
    before = [*sys.path]
    yield
    sys.path[:] = before
    for name in ("model", "helper"):
        sys.modules.pop(name, None)


def through(folder: Path, corpus: Corpus, **changes: Any) -> Any:
    """What the class answers for twenty rows after it was fitted on a hundred others, from the stored model."""
    backbone = python_of(folder, **{"features": NUMBERS} | changes)
    backbone.check(corpus.sealed())
    model = backbone.fit(view_of(corpus), 3, folder / "work")
    (folder / "stored").mkdir()
    backbone.save(model, folder / "stored")
    return backbone.predict(type(backbone)(backbone.params).load(folder / "stored"), asked(corpus))


def test_numbers_are_those_of_the_class(tmp_path: Path) -> None:
    """Rows or columns would have been mixed up on their way."""
    corpus = small_regression()
    X = np.column_stack([np.ones(120), corpus.features.select(NUMBERS).to_numpy()])
    weights = np.linalg.lstsq(X[:100], corpus.targets("verify")[:100], rcond=None)[0]
    np.testing.assert_allclose(X[100:] @ weights, through(python(tmp_path), corpus), rtol=1e-9)
    assert (tmp_path / "stored" / "model" / "state.skops").exists()


OWN = (
    MODEL_PY
    + """
    def save(self, folder):
        np.save(folder / "weights.npy", self.weights, allow_pickle=False)

    def load(self, folder):
        self.weights, self.held = np.load(folder / "weights.npy"), lambda: None
"""
)
PROBABLE = """
import numpy as np


def make(rate, random_state):
    return Likely(rate, random_state)


class Likely:
    def __init__(self, rate, seed):
        self.rate, self.seed = rate, seed

    def fit(self, frame, y, groups, sample_weight=None):
        assert len(groups) == len(y) and sample_weight is None
        assert list(frame.columns) == ["length", "kind"]
        self.classes_ = sorted(set(y))
        self.share = float(np.mean(y == self.classes_[1])) * self.rate
        return self

    def predict_proba(self, frame):
        return np.tile([1 - self.share, self.share], (len(frame), 1))
"""


def test_a_class_may_store_itself(tmp_path: Path) -> None:
    """A model of weights in a format of its own could not be brought without skops."""
    corpus = small_regression()
    found = through(python(tmp_path, OWN), corpus)
    assert ["weights.npy"] == [path.name for path in (tmp_path / "stored" / "model").iterdir()]
    home = tmp_path / "other"
    home.mkdir()
    assert found.tolist() == through(python(home), corpus).tolist()


@pytest.mark.parametrize("rows", ["polars", "pandas"])
def test_a_factory_is_given_what_it_names(tmp_path: Path, rows: str) -> None:
    """A classifier of frames with text would have to become something else."""
    if rows == "pandas":
        pytest.importorskip("pandas")
        pytest.importorskip("pyarrow")
    changes = {"factory": "model.py:make", "params": {"rate": 0.5}, "rows": rows, "features": ["length", "kind"]}
    corpus = small_classification()
    found = through(python(tmp_path, PROBABLE), corpus, **changes)
    share = np.mean(corpus.targets("verify")[:100] == "yes") * 0.5
    assert isinstance(found, ClassScores)
    assert ("no", "yes") == found.classes
    np.testing.assert_allclose([1 - share, share], found.probability[0])


def test_the_seed_is_read_from_the_source(tmp_path: Path) -> None:
    """A class without a seed would be fitted five times, and its copies count as five fits; or it would be run here."""
    (tmp_path / "made").mkdir()
    says = "raise SystemExit('this ran')\n"
    for text, seeded in (
        ("def make(seed): pass", True), ("def make(*, random_state=0): pass", True), ("def make(rate): pass", False),
        ("class make:\n    def __init__(self, seed): pass", True), ("class make:\n    seed: int = 0", True),
        ("make = None", False),
    ):  # fmt: skip
        (tmp_path / "model.py").write_text(says + text)
        assert seeded == python_of(tmp_path, factory="model.py:make").seeded, text
    assert python_of(tmp_path, factory="model.py:make", seed="start").seeded


def test_what_it_imports_from_beside_is_part_of_it(tmp_path: Path) -> None:
    """A helper could be edited after the run, and the old models be called those of the new code."""
    backbone = python_of(python(tmp_path))
    assert {"model.py", "helper.py"} == set(backbone.carries())
    assert ("numpy", "polars") == backbone.packages()


NO = "class Line:\n    def fit(self, X, y): pass\n"
REFUSED: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "no such name": (MODEL_PY, {"factory": "model.py:Lines"}, "fit.factory", "no 'Lines' in model.py"),
    "no such file": (MODEL_PY, {"factory": "nets.py:Line"}, "fit.factory", "no 'nets.py' beside"),
    "no such argument": (MODEL_PY, {"params": {"slop": 2}}, "fit.params", "does not take these arguments"),
    "no such feature": (MODEL_PY, {"features": ["width"]}, "fit.features", "no feature 'width'"),
    "text in a matrix": (MODEL_PY, {"features": ["kind"]}, "fit.rows", "'kind' is no number"),
    "no predict": (NO, {}, "fit.factory", "has no `predict`"),
    "a package that is not there": ("import nowhere\n" + MODEL_PY, {}, "fit.factory", "cannot be imported"),
    "a file that was not declared": ("import_ = __import__('hid' + 'den')", {}, "fit.factory", "cannot be imported"),
    "a state that nobody can hold": (
        MODEL_PY.replace("self.slope = slope", "self.slope, self.act = slope, lambda: 0"),
        {}, "fit.factory", "cannot be stored",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_a_mistake_is_named_before_any_fit(tmp_path: Path, kind: str) -> None:
    """Rules would be registered, and every fold fail for the same slip."""
    text, changes, where, words = REFUSED[kind]
    (python(tmp_path, text) / "hidden.py").write_text("")
    with pytest.raises(StudyError, match=words) as refused:
        python_of(tmp_path, **{"features": NUMBERS} | changes).check(small_regression().sealed())
    assert where == refused.value.where
    assert refused.value.hint
    if "hold" in kind:
        assert "`save(folder)` and `load(folder)`" in refused.value.hint
        assert "numbers, text, arrays" in refused.value.hint


def test_weights_are_used_or_refused(tmp_path: Path) -> None:
    """A model that was fitted to all rows alike would be compared with one that was not."""
    corpus = small_regression()
    weighted = replace(corpus, weight=np.ones(120), manifest=replace(corpus.manifest, weight="w"))
    with pytest.raises(StudyError, match="sample_weight"):
        python_of(python(tmp_path), features=NUMBERS).check(weighted)
    python_of(tmp_path, features=NUMBERS, weight="ignore").check(weighted)


@pytest.mark.parametrize("factory", ["model:Line", "Line", "model.py:", "model.py:a b", "model.txt:Line"])
def test_a_factory_is_a_file_and_a_name(factory: str) -> None:
    """`model.py` alone would be looked for among installed packages."""
    with pytest.raises(ValueError, match="the file and the name in it"):
        PythonParams(factory=factory)


def test_an_archive_of_another_class_is_not_made(tmp_path: Path) -> None:
    """A stored model could name any class of the machine."""
    through(python(tmp_path), small_regression())
    stored = tmp_path / "stored" / "model" / "state.skops"
    stored.write_bytes(archive(SimpleNamespace(weights=1)))
    with pytest.raises(TamperedError, match=r"types\.SimpleNamespace"):
        python_of(tmp_path).load(tmp_path / "stored")
