"""The link from stored models to stored predictions: each model is loaded and asked again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from heldout import plugins
from heldout.backbone import Backbone, ClassScores, FeaturesView, FloatArray
from heldout.backbone.beside.base import BesideBackbone
from heldout.errors import StudyError, UnitError
from heldout.run.apart.foreign import Apart, ReachedError, is_foreign
from heldout.run.resolve import load_backbone
from heldout.run.units.unit import cached_corpus, test_view
from heldout.verify.asked import check_answers
from heldout.verify.chain import BrokenError, NotCheckedError
from heldout.verify.corpus_file import bound_reader
from heldout.verify.evidence import RunEvidence

# Of the spread of the predictions: another processor or library rounds otherwise.
TOLERANCE = 1e-5


def check_weights(evidence: RunEvidence) -> str:
    """Every model of the variant and its baselines, as stored, predicts what is stored beside it."""
    reader = bound_reader(evidence)
    corpus = cached_corpus(reader)
    folds = {fold.id: fold for fold in evidence.split.folds}
    count = 0
    for name, (backbone_name, fit, _) in evidence.contenders.items():
        if name in evidence.models:
            count += check_answers(evidence, name, corpus)
            continue
        backbone = load_backbone(backbone_name, fit)
        refuse_strangers(backbone)
        hidden = (*reader.kept(), evidence.folder)
        apart = Apart(backbone, hidden) if is_foreign(backbone) else None
        for (_, fold), unit in sorted(evidence.units(name).items()):
            view = test_view(corpus, folds[fold])
            if apart is None:
                answered = backbone.predict(backbone.load(unit.folder), view)
            else:
                answered = ask_apart(apart, unit.folder, view)
            values = answered.probability if isinstance(answered, ClassScores) else answered
            if not _same(values, unit.prediction):
                where = unit.folder.relative_to(evidence.folder).as_posix()
                raise BrokenError("the stored model does not predict what is stored beside it", where)
            count += 1
    return f"{count} stored models predict what is stored beside them"


def ask_apart(apart: Apart, folder: Path, view: FeaturesView) -> FloatArray | ClassScores:
    """What foreign code answers; where code that the run brought cannot be run here, that says nothing of the run.

    Raises:
        NotCheckedError: If it fails, as for want of a program or a package.
    """
    try:
        return apart.ask(folder, view).predicted
    except (UnitError, StudyError) as error:
        if isinstance(error, ReachedError) or not isinstance(apart.backbone, BesideBackbone):
            raise
        raise NotCheckedError(f"its code could not be run here: {error.what}") from None


def refuse_strangers(backbone: Backbone) -> None:
    """Refuse to run what a backbone names and no installed distribution has, unless whoever asks vouches for it.

    Raises:
        PrerequisiteError: Naming the module; nothing of it was imported, here or in another process.
    """
    if isinstance(backbone, BesideBackbone):
        plugins.refuse_untrusted_code(f"backbone {backbone.name}")
    for module in backbone.sources():
        plugins.refuse_uninstalled(module)


def _same(found: object, stored: object) -> bool:
    a, b = np.asarray(found, dtype=np.float64), np.asarray(stored, dtype=np.float64)
    if a.shape != b.shape:
        return False
    finite = b[np.isfinite(b)]
    spread = float(np.ptp(finite)) if finite.size else 0.0
    return bool(np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE * spread, equal_nan=True))
