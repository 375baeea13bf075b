"""The link that compute can mend: train every fit again, elsewhere, and compare what it predicts."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from heldout.backbone import Backbone
from heldout.backbone.beside.base import BesideBackbone
from heldout.backbone.code import code_of
from heldout.corpus import Reader
from heldout.documents.names import CHOICE_FILE
from heldout.errors import StudyError, UnitError
from heldout.evidence import digest, read_json
from heldout.evidence.provenance import code_digest, package_versions
from heldout.run.apart.foreign import ReachedError
from heldout.run.collect import collect
from heldout.run.fitted_state import FITTED_STATE, examine_fitted
from heldout.run.fitting import fit_units
from heldout.run.layout import RunFolder
from heldout.run.resolve import load_backbone
from heldout.run.units.contender import Contender
from heldout.run.units.unit import Unit, cached_corpus, make_unit
from heldout.verify.asked import placed
from heldout.verify.chain import BrokenError, NotCheckedError
from heldout.verify.corpus_file import bound_reader
from heldout.verify.evidence import RunEvidence
from heldout.verify.weights import refuse_strangers

# Of the target's standard deviation: another processor or library rounds otherwise, and training adds that up.
TOLERANCE = 1e-3


def check_refit(evidence: RunEvidence, workers: int | None = None) -> str:
    """Every seed and fold, trained again from the corpus and the lock, predicts what the run predicted."""
    reader = bound_reader(evidence)
    corpus, lock = cached_corpus(reader), evidence.lock
    backbone = load_backbone(str(lock["backbone"]), lock["fit"])
    refuse_strangers(backbone)
    if "" in evidence.models:
        backbone = placed(evidence, "")
    elif isinstance(backbone, BesideBackbone):
        backbone = backbone.of_model(next(iter(evidence.units("").values())).folder)
    contender = Contender(str(lock["variant"]), "", backbone, evidence.seeds)
    beside = isinstance(backbone, BesideBackbone)
    try:
        _check_fitted_state(evidence, backbone, reader)
    except (UnitError, StudyError) as error:
        if not beside or isinstance(error, ReachedError):
            raise
        raise NotCheckedError(f"its code could not be run here: {error.what}") from None
    code, again = code_of(backbone, type(reader)), "trained again" if backbone.fits else "asked again"
    with tempfile.TemporaryDirectory(prefix="heldout-refit-") as name:
        folder = RunFolder(Path(name))
        units = [
            make_unit(contender, seed, fold, corpus, lock["corpus"], folder.unit(seed, fold.id), code)
            for seed in contender.seeds
            for fold in evidence.split.folds
        ]
        failures = fit_units(contender, units, corpus, reader, folder, workers, lambda *_: None)
        if failures and beside:
            raise NotCheckedError(f"its code could not be run here: {failures[0].reason}")
        if failures:
            raise BrokenError(f"it cannot be {again}: {failures[0].reason}", failures[0].unit.name)
        predictions, _ = collect(units, corpus)
        for unit in units:
            _check_choice(unit, RunFolder(evidence.folder).unit(unit.seed, unit.fold.id))
    worst = _largest_difference(evidence, predictions.members)
    if worst == 0.0:
        return f"{len(units)} fits {again} predict the same, to the last bit"
    if worst <= TOLERANCE:
        return f"{len(units)} fits {again} predict the same to {worst:.2g} of the target's spread{_why(evidence)}"
    raise BrokenError(f"{again}, a prediction differs by {worst:.2g} of the target's spread{_why(evidence)}")


def _check_choice(again: Unit, stored: Path) -> None:
    """What a training view chose, and by what, is what it chooses again; the model alone would not tell."""
    if not (again.folder / CHOICE_FILE).exists():
        return
    ours, theirs = read_json(again.folder / CHOICE_FILE), read_json(stored / CHOICE_FILE)
    where = f"{again.name}/{CHOICE_FILE}"
    if ours["chosen"] != theirs["chosen"] or ours["scores"].keys() != theirs["scores"].keys():
        raise BrokenError(f"trained again, {ours['chosen']!r} of {len(ours['scores'])} is chosen", where)
    for name, value in ours["scores"].items():
        said = theirs["scores"][name]
        if (value is None) != (said is None) or (value is not None and not np.isclose(value, said, rtol=TOLERANCE)):
            raise BrokenError(f"trained again, {name!r} has {value}, not {said}", where)


def _check_fitted_state(evidence: RunEvidence, backbone: Backbone, reader: Reader) -> None:
    """If held-out rows reach what is fitted, the verdict must say so; it may say so where this machine cannot see."""
    found = examine_fitted(backbone, reader, evidence.split, evidence.seeds[0]).findings
    if found and FITTED_STATE not in {each["code"] for each in evidence.verdict["findings"]}:
        raise BrokenError(f"the verdict does not say that {found[0].what}", f"{evidence.verdict_file.name}: findings")


def _largest_difference(evidence: RunEvidence, members: object) -> float:
    """Largest difference of any prediction, over the standard deviation of the target (1 for probabilities)."""
    assert isinstance(members, dict)
    stored = evidence.predictions
    spread = 1.0 if stored.classes else np.std(stored.target, axis=0)
    spread = np.where(spread == 0, 1.0, spread)  # of each of several targets
    differences = []
    for seed, values in members.items():
        if not np.array_equal(values, stored.members[seed], equal_nan=True):
            difference = np.abs(values - stored.members[seed]) / spread
            differences.append(float(np.where(np.isnan(difference), np.inf, difference).max()))
    return max(differences, default=0.0)


def _why(evidence: RunEvidence) -> str:
    judged = evidence.verdict["judged"]
    others = [
        word
        for word, same in (
            ("sources of heldout", judged["code_sha256"] == code_digest()),
            ("packages", judged["environment"] == digest(package_versions())),
        )
        if not same
    ]
    return f" (trained here with other {' and '.join(others)})" if others else ""
