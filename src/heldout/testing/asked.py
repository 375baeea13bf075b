"""What every backbone of models from elsewhere keeps: the contract of ``heldout.backbone.AskedBackbone``, as tests."""

from __future__ import annotations

import pickle
import shutil
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from heldout.backbone import ClassScores, FeaturesView, FloatArray
from heldout.backbone.asked import AskedBackbone, ask_in_batches
from heldout.backbone.probabilities import why_not_probabilities
from heldout.corpus import Corpus
from heldout.engine import run_fresh
from heldout.errors import HeldoutError, StudyError
from heldout.testing.corpora import small_regression
from heldout.testing.declared import declared

_ROUNDING = 1e-6  # as `heldout run` allows: single precision adds up otherwise in another batch


class _Question(NamedTuple):
    """Rows to ask in a fresh process."""

    backbone: AskedBackbone
    view: FeaturesView


class AskedBackboneConformance:
    """Tests of a backbone that fits nothing; a subclass sets ``backbone`` and writes a small model in ``write_model``.

    ``backbone`` names the model as a study in the folder would: relative to it.
    """

    backbone: ClassVar[AskedBackbone]

    def write_model(self, folder: Path) -> None:
        """Write the model that ``backbone`` names into a folder."""
        raise NotImplementedError

    def corpus(self) -> Corpus:
        """Samples to ask for; a subclass says for example ``corpus = staticmethod(small_classification)``."""
        return small_regression()

    def test_it_is_declared_under_its_name(self) -> None:
        """A study that names it would not find it."""
        found = declared("backbones", self.backbone.name)
        assert found is type(self.backbone), f"the name {self.backbone.name!r} leads to {found!r}"
        assert not self.backbone.fits, "derive it from AskedBackbone, and leave `fits = False`"

    def test_the_model_is_known_by_its_content(self, tmp_path: Path) -> None:
        """A model that is moved would be another one, and a changed one the same."""
        here, there = self._bound(tmp_path / "a"), self._bound(tmp_path / "b")
        assert here.sha256 == there.sha256, "`write_model` writes equal bytes each time"
        block = here.params.model_dump(mode="json")
        assert {"model": f"sha256:{here.sha256}"}.items() <= block.items(), "a lock names the model by its digest"
        assert type(here).Params.model_validate(block).model_dump(mode="json") == block, "parameters survive JSON"
        named = type(here)(type(here).Params.model_validate(block))
        assert here.sha256 == named.at(here.found()).sha256, "a lock's block and the file are the model again"
        _change(there.found())
        assert here.sha256 != self._bound_at(tmp_path / "b").sha256, "other bytes are another model"
        try:
            named.at(there.found())
        except HeldoutError:
            return
        raise AssertionError("`at` refuses another model than the one that is named by digest")

    def test_every_row_is_answered(self, tmp_path: Path) -> None:
        """Held-out rows would be scored with answers of other rows, or with none."""
        corpus = self.corpus()
        classes, values = _asked(self._bound(tmp_path), FeaturesView(corpus.features), corpus.features.height)
        assert len(values) == corpus.features.height, f"{len(values)} answers for {corpus.features.height} rows"
        if corpus.task == "regression":
            assert not classes, "answer numbers for a regression"
            assert np.isfinite(values).all(), "answer finite numbers, or refuse the rows with an error"
        else:
            wrong = why_not_probabilities(values, classes)
            assert wrong is None, wrong

    def test_the_size_of_a_batch_changes_no_answer(self, tmp_path: Path) -> None:
        """A resumed run would have other answers than one that nobody disturbed."""
        corpus = self.corpus()
        backbone, view = self._bound(tmp_path), FeaturesView(corpus.features)
        classes, whole = _asked(backbone, view, corpus.features.height)
        for size in (1, 7):
            names, parts = _asked(backbone, view, size)
            assert classes == names, "name the same classes in the same order, whatever is asked"
            assert self._near(whole, parts), f"{size} rows at once: answer each row from the model and that row alone"

    def test_order_of_rows_changes_no_answer(self, tmp_path: Path) -> None:
        """A row would be answered otherwise when it is served than when it was judged."""
        corpus = self.corpus()
        backbone, order = self._bound(tmp_path), np.random.default_rng(0).permutation(corpus.features.height)
        straight = _asked(backbone, FeaturesView(corpus.features), corpus.features.height)[1]
        mixed = _asked(backbone, FeaturesView(corpus.features[order]), corpus.features.height)[1]
        assert self._near(straight[order], mixed), "answer each row from the model and that row alone"

    def test_another_process_answers_the_same(self, tmp_path: Path) -> None:
        """Workers could not ask it, or what is judged would be what this process remembers."""
        try:
            pickle.loads(pickle.dumps(self.backbone))  # noqa: S301 - our own bytes
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            raise AssertionError(f"a backbone travels to workers by pickle, and this one cannot: {error}") from None
        corpus = self.corpus()
        backbone, view = self._bound(tmp_path), FeaturesView(corpus.features)
        expected = _asked(backbone, view, corpus.features.height)
        found = run_fresh(_elsewhere, _Question(backbone, view))
        assert expected[0] == found[0], "name the same classes in every process"
        if self.backbone.deterministic:
            assert expected[1].tobytes() == found[1].tobytes(), "answer from the model and the rows alone"

    def test_nothing_is_fitted_saved_or_written(self, tmp_path: Path) -> None:
        """The model that is judged would not be the one that is named by digest."""
        corpus, elsewhere = self.corpus(), tmp_path / "current"
        backbone = self._bound(tmp_path / "home")
        elsewhere.mkdir()
        before = backbone.content()
        with chdir(elsewhere):
            _asked(backbone, FeaturesView(corpus.features), corpus.features.height)
            backbone.save(None, elsewhere)
        assert before == backbone.content(), "`load` and `predict` leave the model as it is"
        assert [] == [path.name for path in elsewhere.iterdir()], "write nothing"
        try:
            backbone.fit(corpus.train_view(corpus.rows_of([corpus.manifest.groups[0].id])), 0, tmp_path)
        except StudyError:
            return
        raise AssertionError("`fit` refuses: a model from elsewhere is asked")

    def test_the_gate_finds_a_truncated_file(self, tmp_path: Path) -> None:
        """Half a download would be judged, or end in a traceback hours later."""
        backbone, rows = self._bound(tmp_path), FeaturesView(self.corpus().features[:8])
        assert backbone.gated, "override `check_model`: a model that nobody looked at is never promoted"
        assert [] == backbone.check_model(backbone.found(), rows), "the gate finds something in the whole model"
        for path in _files(backbone.found()):
            whole = path.read_bytes()
            path.write_bytes(whole[: len(whole) // 2])
            assert backbone.check_model(backbone.found(), rows), f"half of {path.name} passes the gate"
            path.write_bytes(whole)

    def _near(self, expected: FloatArray, found: FloatArray) -> bool:
        spread = float(np.ptp(expected)) or 1.0
        same = np.allclose(expected, found, rtol=_ROUNDING, atol=_ROUNDING * spread)
        return bool(same) or not self.backbone.deterministic

    def _bound(self, folder: Path) -> AskedBackbone:
        """The backbone over a model that was written into a folder, as a study there has it."""
        folder.mkdir(parents=True, exist_ok=True)
        self.write_model(folder)
        return self._bound_at(folder)

    def _bound_at(self, folder: Path) -> AskedBackbone:
        return self.backbone.bound(folder)


def _asked(backbone: AskedBackbone, view: FeaturesView, size: int) -> tuple[tuple[str, ...], FloatArray]:
    """Labels and values, of a copy of the model that nothing else has touched."""
    with tempfile.TemporaryDirectory(prefix="heldout-asked-") as name:
        place = Path(name) / backbone.found().name
        source = backbone.found()
        shutil.copytree(source, place) if source.is_dir() else shutil.copyfile(source, place)
        answers = list(ask_in_batches(backbone, backbone.load(place), view, size))
    first = answers[0].predicted
    predicted = [each.predicted for each in answers]
    values = [each.probability if isinstance(each, ClassScores) else each for each in predicted]
    return first.classes if isinstance(first, ClassScores) else (), np.concatenate(values)


def _elsewhere(question: _Question) -> tuple[tuple[str, ...], FloatArray]:
    return _asked(question.backbone, question.view, question.view.features.height)


def _files(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())


def _change(place: Path) -> None:
    path = _files(place)[0]
    path.write_bytes(path.read_bytes() + b" ")
