"""What every backbone keeps: the contract of ``heldout.backbone.Backbone``, as tests."""

from __future__ import annotations

import pickle
from contextlib import chdir, suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from pydantic import ValidationError

from heldout.backbone import Backbone, ClassScores, FeaturesView, FitJob, FloatArray
from heldout.backbone.probabilities import why_not_probabilities
from heldout.corpus import Corpus, Known
from heldout.corpus.perturb import changed_corpus
from heldout.engine import run_fresh
from heldout.errors import StudyError
from heldout.testing.corpora import small_regression
from heldout.testing.declared import declared

_ROUNDING = 1e-6  # as `heldout run` allows: single precision adds up otherwise in another batch
Files = dict[str, bytes]


class _Task(NamedTuple):
    """Something to do in a fresh process: fit the job, and answer rows with the model that lies in a folder."""

    backbone: Backbone
    job: FitJob
    view: FeaturesView
    stored: Path
    scratch: Path


_LEAST = {"alike": 1.0, "few": 0.0}


class BackboneConformance:
    """Tests of a backbone; a subclass sets ``backbone``, and ``corpus`` if the small table is none for it."""

    backbone: ClassVar[Backbone]
    seed: ClassVar[int] = 7

    def corpus(self) -> Corpus:
        """Samples to learn from; a subclass says for example ``corpus = staticmethod(small_classification)``."""
        return small_regression()

    def test_it_is_declared_under_its_name(self) -> None:
        """A study that names it would not find it."""
        found = declared("backbones", self.backbone.name)
        assert found is type(self.backbone), f"the name {self.backbone.name!r} leads to {found!r}"

    def test_every_row_is_answered(self, tmp_path: Path) -> None:
        """Held-out rows would be scored with answers of other rows, or with none."""
        corpus = self.corpus()
        view = FeaturesView(corpus.features)
        predicted = self.backbone.predict(self._fitted(corpus, tmp_path), view)
        values = _values(predicted)
        assert len(values) == corpus.features.height, f"{len(values)} answers for {corpus.features.height} rows"
        assert np.isfinite(values).all(), "answer finite numbers, or refuse the rows with an error"
        if corpus.task == "regression":
            assert isinstance(predicted, np.ndarray), "answer numbers for a regression"
            shape = f"{values.dtype}, {values.ndim} dimensions"
            assert "float64, 1 dimensions" == shape, f"answer float64 [rows], not {shape}"
        else:
            assert isinstance(predicted, ClassScores), "answer ClassScores for a classification"
            assert set(predicted.classes) <= set(corpus.targets("verify").tolist()), (
                "every class is a label of the training rows"
            )
            wrong = why_not_probabilities(predicted.probability, predicted.classes)
            assert wrong is None, wrong

    def test_one_row_can_be_asked(self, tmp_path: Path) -> None:
        """A model that is served gets one row at a time."""
        corpus = self.corpus()
        predicted = self.backbone.predict(self._fitted(corpus, tmp_path), FeaturesView(corpus.features[:1]))
        assert 1 == len(_values(predicted)), "a view of one row has one answer"

    def test_order_of_rows_changes_no_answer(self, tmp_path: Path) -> None:
        """A row would be answered otherwise in shadow than it was when it was judged."""
        corpus = self.corpus()
        model, order = self._fitted(corpus, tmp_path), np.random.default_rng(0).permutation(corpus.features.height)
        straight = _values(self.backbone.predict(model, FeaturesView(corpus.features)))
        mixed = _values(self.backbone.predict(model, FeaturesView(corpus.features[order])))
        near = np.allclose(straight[order], mixed, rtol=_ROUNDING, atol=_ROUNDING * float(np.ptp(straight)))
        assert near or not self.backbone.deterministic, "answer each row from the model and that row alone"

    def test_promised_weights_reach_the_model(self, tmp_path: Path) -> None:
        """A model that was fitted to all rows alike would pass for one that counts them by their weights."""
        corpus, answers = self.corpus(), []
        every = np.ones(corpus.features.height)
        weighted = replace(corpus, weight=every, manifest=replace(corpus.manifest, weight="weight"))
        with suppress(StudyError):  # it refuses weights under these parameters, which is as good
            if self.backbone.contract.weights:
                self.backbone.check(weighted)
                answers = [self._answered(corpus, tmp_path / name, least) for name, least in _LEAST.items()]
        assert not answers or not np.array_equal(answers[0], answers[1]), (
            "`weights=True` says that rows count by `view.weight`"
        )

    def _answered(self, corpus: Corpus, folder: Path, least: float) -> FloatArray:
        """What a model answers of which four rows in five count so much."""
        job = self._job(corpus)
        weight = np.where(np.arange(len(job.view.target)) % 5 == 0, 1.0, least)
        model = self.backbone.fit(replace(job.view, weight=weight), job.seed, folder)
        return _values(self.backbone.predict(model, FeaturesView(corpus.features)))

    def test_promised_targets_are_answered_each(self, tmp_path: Path) -> None:
        """A target would be judged by the answers for another."""
        corpus = self.corpus()
        if not (self.backbone.contract.outputs and corpus.task == "regression"):
            return
        target = corpus.targets("verify")
        both = Known(np.column_stack([target, 3.0 - 2.0 * target]))
        several = replace(corpus, truth=both, manifest=replace(corpus.manifest, outputs=("first", "second")))
        try:
            self.backbone.check(several)
        except StudyError:
            return  # it refuses several targets under these parameters, which is as good
        said = _values(self.backbone.predict(self._fitted(several, tmp_path), FeaturesView(corpus.features)))
        assert (corpus.features.height, 2) == said.shape, f"answer a column a target, not {list(said.shape)}"
        means = np.abs(said.mean(axis=0) - both.values.mean(axis=0)) < np.ptp(both.values, axis=0)
        assert means.all(), "answer the targets in the order of the columns of `view.target`"

    def test_same_rows_and_seed_give_the_same_model(self, tmp_path: Path) -> None:
        """A unit that is fitted again would look tampered with."""
        corpus = self.corpus()
        first = self._files(self._fitted(corpus, tmp_path / "a"), tmp_path / "a")
        second = self._files(self._fitted(corpus, tmp_path / "b"), tmp_path / "b")
        _same(first, second, "take all randomness from the seed, and write neither clock nor paths")
        if not self.backbone.seeded:
            job = self._job(corpus)._replace(seed=self.seed + 1)
            third = self._files(self.backbone.fit(job.view, job.seed, tmp_path / "c" / "work"), tmp_path / "c")
            _same(first, third, "`seeded = False` says that a seed changes nothing")

    def test_what_is_stored_answers_the_same(self, tmp_path: Path) -> None:
        """The model that is kept, registered and served would not be the one that was judged."""
        corpus = self.corpus()
        model, view = self._fitted(corpus, tmp_path), FeaturesView(corpus.features)
        before = self._files(model, tmp_path)
        stored = self.backbone.load(tmp_path / "model")
        if self.backbone.deterministic:
            expected, found = (_words(self.backbone.predict(each, view)) for each in (model, stored))
            assert expected == found, "save everything that `predict` needs: numbers to the last bit, classes in order"
        _same(before, _read(tmp_path / "model"), "`load` and `predict` write nothing into the folder")

    def test_another_process_fits_and_answers_the_same(self, tmp_path: Path) -> None:
        """Workers could not fit it, or `heldout verify` would find another model than the run."""
        try:
            pickle.loads(pickle.dumps(self.backbone))  # noqa: S301 - our own bytes
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            raise AssertionError(f"a backbone travels to workers by pickle, and this one cannot: {error}") from None
        corpus = self.corpus()
        model, view = self._fitted(corpus, tmp_path), FeaturesView(corpus.features)
        files = self._files(model, tmp_path)
        task = _Task(self.backbone, self._job(corpus), view, tmp_path / "model", tmp_path / "elsewhere")
        answered, fitted = run_fresh(_elsewhere, task)
        if self.backbone.deterministic:
            expected = _words(self.backbone.predict(model, view))
            assert expected == answered, "answer from the stored model alone, not from what this process remembers"
        _same(files, fitted, "a fit depends on its rows and seed, not on hash order, addresses or the clock")

    def test_held_out_rows_do_not_reach_the_model(self, tmp_path: Path) -> None:
        """What is judged as unseen would have been seen."""
        corpus = self.corpus()
        changed = changed_corpus(corpus, [corpus.manifest.groups[0].id], None)
        plain, moved = (self._in_a_batch(each, tmp_path / name) for each, name in ((corpus, "a"), (changed, "b")))
        _same(plain, moved, "fit scalers, vocabularies and label lists on the view that `fit` is given")

    def test_a_batch_gives_each_job_its_own_model(self, tmp_path: Path) -> None:
        """A model would depend on what else was fitted beside it, and a resumed run be another run."""
        alone = self._files(self._fitted(self.corpus(), tmp_path / "a"), tmp_path / "a")
        _same(alone, self._in_a_batch(self.corpus(), tmp_path / "b"), "`fit_many` gives the models that `fit` gives")

    def test_it_writes_where_it_was_told_to(self, tmp_path: Path) -> None:
        """Two units would write over each other, and a model be moved without half of it."""
        corpus, home, elsewhere = self.corpus(), tmp_path / "home", tmp_path / "current"
        elsewhere.mkdir()
        with chdir(elsewhere):
            saved = self._files(self._fitted(corpus, home), home)
            folders = {name for name in self.backbone.contract.files if name.endswith("/")}
            files = {next((each for each in folders if name.startswith(each)), name) for name in saved}
            declared_files = set(self.backbone.contract.files)
            assert files, "`save` wrote no file"
            for name in sorted(declared_files ^ files):
                assert name in files, f"the contract declares {name}, which `save` did not write"
                assert name in declared_files, (
                    f"`save` wrote {name}: declare it in `contract.files`, or no digest holds it"
                )
            self.backbone.predict(self.backbone.load(home / "model"), FeaturesView(corpus.features))
        strangers = {path.name for path in (*home.iterdir(), *elsewhere.iterdir())} - {"model", "work"}
        assert not strangers, f"written outside of the folder: {min(strangers)}"

    def test_parameters_are_a_frozen_block(self) -> None:
        """A misspelt parameter would be ignored, and a lock file not give the same backbone again."""
        params, cls = self.backbone.params, type(self.backbone).Params
        assert isinstance(params, cls), "`params` is an instance of the class's own `Params`"
        assert cls.model_config.get("frozen"), "derive `Params` from heldout.backbone.Params: it is frozen"
        block = params.model_dump(mode="json")
        assert params == cls.model_validate(block), "parameters survive JSON: a lock file holds them"
        try:
            cls.model_validate(block | {"no_such_parameter": 1})
        except ValidationError:
            return
        raise AssertionError("derive `Params` from heldout.backbone.Params: it refuses unknown keys")

    def test_packages_are_installed(self) -> None:
        """An upgrade that changes what is fitted would go unnoticed: nothing is known of a misspelt name."""
        if type(self.backbone).packages is Backbone.packages:
            return  # every numeric library that there may be
        for name in self.backbone.packages():
            try:
                version(name)
            except PackageNotFoundError:
                raise AssertionError(f"`packages()` names {name!r}, and no such distribution is installed") from None

    def _job(self, corpus: Corpus, held_out: int = 0) -> FitJob:
        """The fit with one group held out, the first or another."""
        names = [record.id for index, record in enumerate(corpus.manifest.groups) if index != held_out]
        return FitJob(f"seed{self.seed}/fold{held_out}", corpus.train_view(corpus.rows_of(names)), self.seed)

    def _fitted(self, corpus: Corpus, folder: Path) -> Any:
        """The model with the first group held out; its working folder is not there yet, as in a run."""
        job = self._job(corpus)
        return self.backbone.fit(job.view, job.seed, folder / "work")

    def _in_a_batch(self, corpus: Corpus, folder: Path) -> Files:
        """The same model, fitted after one that sees the held-out rows."""
        jobs = [self._job(corpus, 1), self._job(corpus)]
        found = {job.name: model for job, model in self.backbone.fit_many(jobs, folder / "work")}
        assert {job.name for job in jobs} == set(found), "`fit_many` yields every job once"
        return self._files(found[jobs[1].name], folder)

    def _files(self, model: Any, folder: Path) -> Files:
        """What `save` writes."""
        target = folder / "model"
        target.mkdir(parents=True)
        self.backbone.save(model, target)
        return _read(target)


def _elsewhere(task: _Task) -> tuple[bytes, Files]:
    """What a stored model answers, and what a fit saves; in a process that has seen nothing before it."""
    answered = _words(task.backbone.predict(task.backbone.load(task.stored), task.view))
    target = task.scratch / "model"
    target.mkdir(parents=True)
    task.backbone.save(task.backbone.fit(task.job.view, task.job.seed, task.scratch / "work"), target)
    return answered, _read(target)


def _values(predicted: FloatArray | ClassScores) -> FloatArray:
    return predicted.probability if isinstance(predicted, ClassScores) else predicted


def _words(predicted: FloatArray | ClassScores) -> bytes:
    labels = "\x00".join(predicted.classes) if isinstance(predicted, ClassScores) else ""
    return labels.encode() + np.ascontiguousarray(_values(predicted)).tobytes()


def _read(folder: Path) -> Files:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _same(expected: Files, found: Files, hint: str) -> None:
    different = sorted(name for name in expected | found if expected.get(name) != found.get(name))
    assert not different, f"{different[0]} has other bytes: {hint}"
