"""Links of a model from elsewhere: it is the one that was judged, its gate holds, and it answers what is stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from heldout.backbone import ClassScores, FeaturesView
from heldout.backbone.asked import Answers, AskedBackbone, ask_in_batches, asked_of, model_of
from heldout.backbone.given import GivenBackbone
from heldout.corpus import Corpus
from heldout.documents.names import MODEL_FILE
from heldout.evidence import read_json
from heldout.plugins import refuse_uninstalled
from heldout.run.apart.elsewhere import ask_block
from heldout.run.apart.foreign import Apart, is_foreign
from heldout.run.asked.again import backwards, near, rows_again
from heldout.run.asked.gate import examine_model
from heldout.run.asked.model_file import find_model
from heldout.run.resolve import load_backbone
from heldout.run.units.unit import cached_corpus, test_view
from heldout.verify.chain import BrokenError, Check, NotCheckedError
from heldout.verify.corpus_file import bound_reader
from heldout.verify.evidence import RunEvidence

# Of the spread of the answers: another processor or library rounds otherwise.
TOLERANCE = 1e-5


def check_model(evidence: RunEvidence) -> str:
    """What lies where the run's record says is the model that was judged."""
    document = read_json(evidence.folder / MODEL_FILE)
    for name, stated in evidence.models.items():
        if document["models"].get(name, {}).get("sha256") != stated["sha256"]:
            raise BrokenError("the record names another model than the lock", f"{MODEL_FILE}: models.{name}")
    if set(document["models"]) != set(evidence.models):
        raise BrokenError("the record names a model that the lock does not", MODEL_FILE)
    for name, stated in evidence.models.items():
        if stated.get("evidence") == "predicted":
            placed(evidence, name)
        else:
            find_model(evidence.folder, stated["sha256"])
    several = f"{len(evidence.models)} models have" if len(evidence.models) > 1 else "the model has"
    return f"{several} the digest that was judged"


def check_gate(evidence: RunEvidence) -> str:
    """The checkpoint gate, asked again, finds what the run says that it found."""
    if "" not in evidence.models:
        raise NotCheckedError("the variant itself is fitted here")
    backbone = placed(evidence, "")
    if isinstance(backbone, GivenBackbone):
        raise NotCheckedError("there is nothing of the model but its predictions")
    corpus = cached_corpus(bound_reader(evidence))
    found = examine_model(backbone, corpus, evidence.split, apart_of(evidence, backbone), purpose="verify")
    stated = read_json(evidence.folder / MODEL_FILE)["gate"]
    if found is None and stated is None:
        raise NotCheckedError("the backbone has no checkpoint gate")
    codes = None if found is None else [each.code for each in found]
    if codes != (None if stated is None else [str(each["code"]) for each in stated]):
        raise BrokenError(f"the gate finds {', '.join(codes or ()) or 'nothing'}", f"{MODEL_FILE}: gate")
    if found:
        raise NotCheckedError(f"the gate did not hold: {found[0].what}")
    return "asked again, it finds nothing"


def check_answers(evidence: RunEvidence, name: str, corpus: Corpus) -> int:
    """Units of a contender whose model, asked again for some of its rows, answers what is stored.

    Raises:
        BrokenError: If it answers otherwise.
    """
    backbone = placed(evidence, name)
    foreign, units = is_foreign(backbone), evidence.units(name)
    folds = {fold.id: fold for fold in evidence.split.folds}
    if isinstance(backbone, GivenBackbone):
        return _check_given(evidence, backbone, name, corpus)
    apart = apart_of(evidence, backbone)
    model = None if foreign else backbone.load(backbone.found())

    def ask(part: FeaturesView, size: int) -> list[Answers]:
        if foreign:
            return ask_block(apart, backbone, part, size).batches
        return list(ask_in_batches(backbone, model, part, size))

    for (_, fold), unit in sorted(units.items()):
        rows = rows_again(backbone, str(unit.document["key"]), unit.prediction, len(units))
        classes, values = backwards(backbone, test_view(corpus, folds[fold]), rows, ask)
        if list(classes) != unit.document["classes"] or not near(values, unit.prediction[rows], TOLERANCE):
            where = unit.folder.relative_to(evidence.folder).as_posix()
            raise BrokenError("the model does not answer what is stored there", where)
    return len(units)


def _check_given(evidence: RunEvidence, backbone: GivenBackbone, name: str, corpus: Corpus) -> int:
    """The file of predictions says what is stored, bit by bit, and of the targets what the corpus says."""
    frame, units = backbone.load(backbone.found()), evidence.units(name)
    judged = corpus.rows_of(evidence.split.held_out)
    backbone.refuse_others(corpus.ids, corpus.targets("verify"), judged)
    rows = backbone.rows_of(frame, corpus.ids, judged)
    folds = {fold.id: fold for fold in evidence.split.folds}
    for (seed, fold), unit in sorted(units.items()):
        held_out = corpus.rows_of(folds[fold].test)
        found = backbone.answers(frame[rows[held_out]], seed, corpus.task)
        classes, values = (list(found.classes), found.probability) if isinstance(found, ClassScores) else ([], found)
        if classes != unit.document["classes"] or not np.array_equal(values, unit.prediction, equal_nan=True):
            where = unit.folder.relative_to(evidence.folder).as_posix()
            raise BrokenError("the file of predictions does not say what is stored there", where)
    return len(units)


def placed(evidence: RunEvidence, name: str) -> AskedBackbone:
    """The backbone of a contender over its model, where that lies.

    Raises:
        PrerequisiteError: If the model is not at hand, or its code is of no installed distribution.
    """
    backbone_name, fit, _ = evidence.contenders[name]
    asked = asked_of(load_backbone(backbone_name, fit))
    if asked is None:
        raise BrokenError(f"the backbone {backbone_name!r} asks no model from elsewhere", "study.lock.yaml: models")
    for module in asked.sources():
        refuse_uninstalled(module)
    return asked.at(find_model(evidence.folder, model_of(fit), asked.content_at))


def apart_of(evidence: RunEvidence, backbone: AskedBackbone) -> Apart:
    """Where foreign code is asked, shut in from the corpus and the run."""
    hidden: tuple[Path, ...] = (evidence.folder,)
    return Apart(backbone, hidden if evidence.corpus_path is None else (*bound_reader(evidence).kept(), *hidden))


LINKS = (
    Check("model", "model → digest", check_model, ("study",)),
    Check("model-gate", "model → checkpoint gate", check_gate, ("model", "corpus-file")),
)
