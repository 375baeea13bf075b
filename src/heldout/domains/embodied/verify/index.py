"""The index that an evaluation was made on, where it still lies: its train answers, open truths, and the look there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heldout.documents.names import LEDGER_FILE, METRICS_FILE
from heldout.domains.embodied.evaluate.held import Brought
from heldout.domains.embodied.evaluate.plan import index_named
from heldout.domains.embodied.evaluate.predictors import train_labels
from heldout.domains.embodied.index.names import INDEX_FILE, SEALED
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.score.files import TRAIN_FILE
from heldout.domains.embodied.score.score import Row
from heldout.domains.embodied.score.train_labels import TrainLabels
from heldout.errors import InputError
from heldout.evidence import digest, dumps, loads
from heldout.ledger.trials import read_ledger, trial_at
from heldout.verify.chain import BrokenError, NotCheckedError
from heldout.verify.differences import difference
from heldout.verify.evaluations import EvaluationEvidence

_ANSWERS = "predictions.jsonl"
_SAME = ("run", "variant_sha256", "split_sha256", "gate_sha256")  # another evaluation may have a folder of this name


def index_of(evidence: EvaluationEvidence) -> IndexSource:
    """The index that the plan names.

    Raises:
        NotCheckedError: If it is not there, or another one by now.
    """
    index = None if evidence.published else index_named(evidence.folder)
    if index is None:
        raise NotCheckedError("the window index is not published" if evidence.published else "no window index is named")
    if not (index / INDEX_FILE).is_file():
        raise NotCheckedError("the window index is not where the evaluation says")
    source = IndexSource(index)
    if source.sha256 != evidence.metrics["train_labels_sha256"]:
        raise NotCheckedError(f"the window index there is another one now: {source.sha256[:12]}")
    return source


def has_index(evidence: EvaluationEvidence) -> bool:
    """Whether the index is there."""
    try:
        index_of(evidence)
    except NotCheckedError:
        return False
    return True


def check_index(evidence: EvaluationEvidence, family: str, rows: Sequence[Row], train: TrainLabels) -> str:
    """Train answers are those of the index, and so are truths that are not sealed.

    Raises:
        BrokenError: If one is another.
        NotCheckedError: If the index is not there.
    """
    source = index_of(evidence)
    mine = loads(dumps(train_labels(source).to_json()), where=TRAIN_FILE)
    different = difference(mine, loads(dumps(train.to_json()), where=TRAIN_FILE))
    if different is not None:
        what = f"stated {different.found!r}; the index gives {different.expected!r}"
        raise BrokenError(what, f"{TRAIN_FILE}: {different.place.removeprefix('/')}")
    split = str(evidence.metrics["eval_split"])
    told = f"train answers are those of the index {source.sha256[:12]}"
    if evidence.has_verdict and evidence.verdict.get("held_out"):
        try:
            told += f", and the rows are its windows of {Brought(source, family, rows, family).split}"
        except InputError as error:
            raise BrokenError(error.what, str(error.where)) from None
    if family != _ANSWERS or (split in SEALED and source.manifest.get("sealed_targets")):
        return (
            f"{told}; answers of {split} are {'sealed and were not opened' if family == _ANSWERS else 'not compared'}"
        )
    truth = {str(record["id"]): record["supervision"] for record in source.records(source.samples(split))}
    for row in rows:
        different = difference(truth.get(str(row["id"])), row["true_json"])
        if different is not None:
            what = f"stated {different.found!r}; the index gives {different.expected!r}"
            raise BrokenError(what, f"{family}: {row['id']}: true_json{different.place}")
    return f"{told}, and so are the truths of {len(rows)} windows"


def check_look(evidence: EvaluationEvidence, rows: Sequence[Row]) -> str:
    """The look stands in the ledger beside the index as the verdict says, and is the last of this evaluation.

    Raises:
        BrokenError: If it does not.
        NotCheckedError: If there is no ledger, or windows were judged that are not counted.
    """
    source, verdict = index_of(evidence), evidence.verdict
    if "trial" not in verdict:
        raise NotCheckedError(
            f"evaluations on {str(evidence.metrics['eval_split'])!r} are not recorded in the trial ledger"
        )
    if not (source.folder / LEDGER_FILE).is_file():
        raise BrokenError("the verdict names a look, and there is no ledger beside the index", LEDGER_FILE)
    entries = read_ledger(source.folder)
    place = next((p for p, one in enumerate(entries) if one.sha256 == verdict["trial"]["ledger_head"]), None)
    where = f"{evidence.verdict_file.name}: trial"
    if place is None or trial_at(entries, place).to_json() != verdict["trial"]:
        raise BrokenError("the ledger beside the index has no such look", where)
    record: Mapping[str, Any] = entries[place].record
    expected = {
        "outcome": verdict["verdict"],
        "metrics_sha256": evidence.sha256(METRICS_FILE),
        "corpus_sha256": source.sha256,
        "split_sha256": digest([evidence.metrics["eval_split"], [str(row["id"]) for row in rows]]),
        "gate_sha256": verdict["judged"]["gate_sha256"],
    }
    wrong = next((key for key, value in expected.items() if record[key] != value), None)
    if wrong is not None:
        raise BrokenError(f"the ledger recorded another {wrong} for this look", f"{LEDGER_FILE}:{place + 1}")
    if any(all(one.record[key] == record[key] for key in _SAME) for one in entries[place + 1 :]):
        raise BrokenError("the ledger has a newer look of this evaluation", f"{LEDGER_FILE}:{place + 1}")
    trial = verdict["trial"]
    return f"attempt {trial['attempt']} of {trial['of']} variants, look {trial['looks']} at these windows"
