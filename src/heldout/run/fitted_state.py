"""HO-G008: what is fitted must be a function of the training rows alone, and what is answered of that and the rows.

One fold is fitted on a short budget, then again with the same seed after every feature and target of its held-out rows
has changed. All that ``save`` writes must be the same to the last bit; where two fits of the same rows differ in it
already, what the models answer must be. A second fold is fitted before it, in the same
batch: it trains on what changed, so that an engine which mixes its models up, or keeps something of one, is found too.
The views are built by the code that a run builds them with, from a copy of the corpus file where the reader can write
one; parameters that name the corpus file name the copy. So a scaler that was kept in a module at reading, or is fitted
from the file, changes with it.

Then the model is asked for all rows as they are: from memory, from what was saved, and again. The answers must be the
same to the last bit, also after the held-out targets have changed, unless the backbone says that it answers the same
rows differently.

``heldout check`` fits each time in a fresh process, so that nothing in memory can carry over; a run, which is about to
fit anyway, in its own; foreign code is always fitted and asked in fresh processes that are shut in. What no such check
can see: a file made from held-out rows long before.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from heldout.aside import words_to
from heldout.backbone import Backbone, ClassScores, FeaturesView, FloatArray
from heldout.backbone.beside.base import BesideBackbone
from heldout.corpus import Corpus, Reader
from heldout.corpus.guards import Finding, GuardResult
from heldout.corpus.perturb import changed_corpus
from heldout.documents.names import OUTPUT_LOG
from heldout.engine import run_fresh
from heldout.errors import UnitError
from heldout.evidence import sha256_bytes, sha256_file
from heldout.evidence.machine import machine_error
from heldout.run.apart.foreign import Apart, ReachedError, is_foreign
from heldout.run.apart.opened import watched
from heldout.run.layout import RunFolder
from heldout.run.models import models
from heldout.run.prepare import Prepared
from heldout.run.units.unit import Unit, fit_job
from heldout.split import Fold, Split

_ROWS, _ROWS_OF_A_GROUP = 4000, 20
FITTED_STATE = "HO-G008"


@dataclass(frozen=True)
class Trial:
    """One batch to fit; every path in it is the same for all batches, since a model may hold its parameters.

    Attributes:
        reader: Of the corpus as it is.
        backbone: On its short budget.
        folds: The fold that is judged, and a second one where there is one.
        seed: Declared seed.
        changed: Groups whose rows change before the views are built.
        most: Rows of each group at most; None takes all.
        folder: An empty folder.
    """

    reader: Reader
    backbone: Backbone
    folds: tuple[Fold, ...]
    seed: int
    changed: tuple[str, ...]
    most: int | None
    folder: Path


class Fitted(NamedTuple):
    """What the judged fold left.

    Attributes:
        files: Digest of each file that was saved.
        opened: What the model did while Python opened the corpus: ``fits``, ``answers`` or nothing.
        answers: Digest of what it answers for all rows as they are: from memory, from its folder, and again.
        shut_in: Whether the system kept all else from the code that fitted it.
    """

    files: dict[str, str]
    opened: str
    answers: tuple[str, ...]
    shut_in: bool = False


def with_fitted_state(prepared: Prepared) -> Prepared:
    """The plan of a run, with what this guard finds; where it cannot judge, that is a blocking finding."""
    main = prepared.resolved.main
    try:
        found = examine_fitted(main.backbone, prepared.resolved.reader, prepared.split, main.seeds[0])
    except ReachedError as error:
        found = reached_finding(error, main.backbone, prepared.split.folds[0])
        prepared = replace(prepared, reached=True)
    except (Exception, SystemExit) as error:
        refused = machine_error(error)
        if refused is not None:
            raise refused from error
        found = _result(
            f"whether held-out rows reach what is fitted cannot be judged: {type(error).__name__}: {error}",
            main.backbone,
            prepared.split.folds[0],
            "mend the backbone; `heldout check` shows the error",
        )
    return replace(prepared, findings=(*prepared.findings, *found.findings))


def guard_fitted(backbone: Backbone, reader: Reader, split: Split, seed: int, *, fresh: bool) -> GuardResult:
    """What ``examine_fitted`` finds; code that asks for the corpus is a finding too.

    Raises:
        UnitError: If the backbone cannot be fitted.
    """
    try:
        return examine_fitted(backbone, reader, split, seed, fresh=fresh)
    except ReachedError as error:
        return reached_finding(error, backbone, split.folds[0])


def examine_fitted(backbone: Backbone, reader: Reader, split: Split, seed: int, *, fresh: bool = False) -> GuardResult:
    """Fit on a short budget, change the held-out rows, fit again, and compare.

    Args:
        backbone: As the study declares it.
        reader: Of the corpus.
        split: The folds; the first is judged.
        seed: A declared seed.
        fresh: Fit each time in a process of its own.

    Raises:
        UnitError: If the backbone cannot be fitted.
    """
    if not backbone.fits:
        return GuardResult(FITTED_STATE, not_applicable="nothing is fitted here: a model from elsewhere is asked")
    fold, fresh = split.folds[0], fresh and not is_foreign(backbone)  # which has its own processes anyway
    with tempfile.TemporaryDirectory(prefix="heldout-check-") as name:
        most = max(_ROWS_OF_A_GROUP, _ROWS // len(split.groups))
        quick = backbone if is_foreign(backbone) else backbone.quick()  # its own process makes it quick
        trial = Trial(reader, quick, split.folds[:2], seed, (), most, Path(name))
        try:
            plain = _run(trial, fresh)
        except ReachedError:
            raise
        except Exception:  # noqa: BLE001 - few rows may lack what a fit needs, such as a second class
            trial = replace(trial, most=None)
            plain = _run(trial, fresh)
        if plain.opened:
            what = f"{backbone.name} opens the corpus file while it {plain.opened}, where the held-out rows are"
            return _result(what, backbone, fold, "fit on the train view that `fit` is given, and on nothing else")
        try:
            changed = _run(replace(trial, changed=fold.test), fresh)
        except Exception:  # noqa: BLE001 - changed values may be none that a fit can take, such as names of files
            trial = replace(trial, folds=trial.folds[:1])  # which holds them all out
            plain, changed = _run(trial, fresh), _run(replace(trial, changed=fold.test), fresh)
        different = sorted(
            path for path in plain.files | changed.files if plain.files.get(path) != changed.files.get(path)
        )
        if not different:
            return _judged_answers(plain, changed, backbone, fold)
        again = _run(trial, fresh)
        if again.files != plain.files:
            return _judged_without_bytes((plain, again, changed), different[0], backbone, fold)
    what = f"what {backbone.name} fits on the fold {fold.id} changes with its held-out rows: {', '.join(different)}"
    hint = "fit scalers, vocabularies and ranges on the train view that `fit` is given, and on nothing else"
    return _result(what, backbone, fold, hint)


def _judged_without_bytes(trials: Sequence[Fitted], file: str, backbone: Backbone, fold: Fold) -> GuardResult:
    """Where two fits of the same rows differ in bytes, such as in a time that they note, answers must be equal."""
    what = f"{backbone.name} fits another {file} each time, on the same rows with the same seed"
    hint = "take all randomness from the seed, and save equal models as equal bytes"
    shut_in = trials[0].shut_in
    if any(not each.answers for each in trials) or len({answer for each in trials for answer in each.answers}) > 1:
        if backbone.deterministic or not shut_in:
            return _result(what, backbone, fold, hint)
        what += ", as it says: this guard cannot compare, and nothing but the training rows was within its reach"
    elif isinstance(backbone, BesideBackbone):  # which stores models in forms of its own, some with a date
        return GuardResult(FITTED_STATE)
    else:
        what += "; all of them answer all rows alike, whatever the held-out rows are"
    return _result(what, backbone, fold, hint, blocking=False)


def _judged_answers(plain: Fitted, changed: Fitted, backbone: Backbone, fold: Fold) -> GuardResult:
    """Equal models must answer equal rows alike, and not know what the targets are."""
    if len({*plain.answers, *changed.answers}) == 1:
        return GuardResult(FITTED_STATE)
    if len(set(plain.answers)) == len(set(changed.answers)) == 1:
        what = f"what {backbone.name} answers on the fold {fold.id} changes with the targets of its held-out rows"
        return _result(what, backbone, fold, "answer from the model and the features that `predict` is given")
    if all(len(set(each.answers[1:])) == 1 for each in (plain, changed)):
        what = f"what {backbone.name} answers after `fit` is not what the model answers that it saved"
        hint = "keep everything that `predict` needs in the model: it is the stored one that is judged and served"
    else:
        what = f"{backbone.name} answers the same rows otherwise each time"
        hint = "answer from the model and the rows alone, or declare `deterministic = False`"
    return _result(what, backbone, fold, hint, blocking=backbone.deterministic)


def reached_finding(error: ReachedError, backbone: Backbone, fold: Fold) -> GuardResult:
    """What is said of code that asks for the corpus."""
    return _result(error.what, backbone, fold, error.hint or "")


def _result(what: str, backbone: Backbone, fold: Fold, hint: str, *, blocking: bool = True) -> GuardResult:
    where = f"backbone {backbone.name}, fold {fold.id}"
    return GuardResult(FITTED_STATE, (Finding(FITTED_STATE, blocking=blocking, what=what, where=where, hint=hint),))


def _run(trial: Trial, fresh: bool) -> Fitted:
    try:
        return run_fresh(fit_trial, trial) if fresh else fit_trial(trial)
    finally:
        for path in trial.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def fit_trial(trial: Trial) -> Fitted:
    """Read, build the views, fit, save and ask; in whatever process."""
    asked = FeaturesView(changed_corpus(trial.reader.read(), (), trial.most).features)
    corpus, copy = _read(trial)
    original = trial.reader.options.path
    backbone = trial.backbone if copy is None else _moved(trial.backbone, original, copy)
    folder = RunFolder(trial.folder / "run")
    units = [Unit("check", trial.seed, fold, "", folder=folder.unit(trial.seed, fold.id)) for fold in trial.folds]
    held = False
    if is_foreign(backbone):
        apart = Apart(backbone, (*trial.reader.kept(), *([copy] if copy else [])))
        memory = apart.try_out(fit_job(units[0], corpus), units[0].folder, asked)
        stored = (apart.ask(units[0].folder, asked) for _ in range(2))
        opened, answers = "", tuple(_digest(each.predicted) for each in (memory, *stored))
        held = memory.fence.get("reading") == "landlock"
    else:
        opened, answers = _fit_here(
            backbone, units, corpus, folder, asked, [*trial.reader.kept(), *([copy] if copy else [])]
        )
    judged = units[0].folder
    files = {str(path.relative_to(judged)): sha256_file(path) for path in sorted(judged.rglob("*")) if path.is_file()}
    if not files:
        raise UnitError("`save` wrote no file", where=f"backbone {backbone.name}", hint="write the model into `folder`")
    return Fitted(files, opened, answers, held)


def _fit_here(
    backbone: Backbone,
    units: list[Unit],
    corpus: Corpus,
    folder: RunFolder,
    asked: FeaturesView,
    paths: list[Path],
) -> tuple[str, tuple[str, ...]]:
    """Fit and save all units, the judged one last, and ask its model from memory, from its folder, and again."""
    nowhere = folder.path.parent / OUTPUT_LOG
    with words_to(nowhere), watched(paths) as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a short budget; the fits themselves say theirs
        for unit, model, error in models(backbone, units[::-1], corpus, folder.scratch("check")):
            if error is not None:
                raise error
            unit.folder.mkdir(parents=True, exist_ok=True)
            backbone.save(model, unit.folder)
            if unit is units[0]:
                judged = model
        if opened:
            return "fits", ()
        if not any(units[0].folder.iterdir()):
            return "", ()
        stored = backbone.load(units[0].folder)
        answers = tuple(_digest(backbone.predict(each, asked)) for each in (judged, stored, stored))
    return ("answers" if opened else ""), answers


def _digest(predicted: FloatArray | ClassScores) -> str:
    values = predicted.probability if isinstance(predicted, ClassScores) else predicted
    labels = "\x00".join(predicted.classes) if isinstance(predicted, ClassScores) else ""
    return sha256_bytes(labels.encode() + np.ascontiguousarray(values, dtype=np.float64).tobytes())


def _read(trial: Trial) -> tuple[Corpus, Path | None]:
    """The corpus with its changed rows, and the file that it was read from if that is a copy."""
    path = trial.folder / trial.reader.options.path.name
    options = trial.reader.write_changed(path, trial.changed, trial.most)
    if options is None:
        return changed_corpus(trial.reader.read(), trial.changed, trial.most), None
    return type(trial.reader)(options).read(), options.path


def _moved(backbone: Backbone, original: Path, copy: Path) -> Backbone:
    """The backbone with parameters that name the corpus file naming its copy."""
    params = backbone.params.model_dump()
    moved = _replaced(params, original.resolve(), copy)
    if moved == params:
        return backbone
    renewed = backbone.renewed if isinstance(backbone, BesideBackbone) else type(backbone)
    return renewed(type(backbone).Params.model_validate(moved))


def _replaced(value: Any, original: Path, copy: Path) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(item, original, copy) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_replaced(item, original, copy) for item in value)
    if isinstance(value, str | Path) and original.name in str(value) and Path(value).resolve() == original:
        return type(value)(str(copy)) if isinstance(value, str) else copy
    return value
