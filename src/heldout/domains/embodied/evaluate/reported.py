"""``heldout eval score``: a file of predictions in, metrics, required files and a verdict out."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from heldout.domains.embodied.contract.contracts import BackboneContract
from heldout.domains.embodied.evaluate.held import NO_INDEX, RULE, Brought, held_rule
from heldout.domains.embodied.evaluate.plan import BROUGHT_FILE, PLAN_FILE
from heldout.domains.embodied.evaluate.predictors import train_labels as train_labels_of
from heldout.domains.embodied.evaluate.sitting import Opened, Windows, verdict_document
from heldout.domains.embodied.index.names import INDEX_FILE, MANIFEST_FILE
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.score.files import MAKES, outputs, write_files
from heldout.domains.embodied.score.score import FAMILIES, Scored, check_rows, family_of, read_rows, score
from heldout.domains.embodied.score.train_labels import TrainLabels, read_train_labels
from heldout.errors import InputError
from heldout.evidence import digest, read_plain, sha256_file, write_json
from heldout.ledger.trials import Ledger
from heldout.predict.session import Sample
from heldout.run.verdict import write_verdict

BROUGHT_SCHEMA = "heldout.brought/1"


def score_file(
    contract: BackboneContract,
    predictions: Path,
    train_labels: Path | None = None,
    out: Path | None = None,
    *,
    index: Path | None = None,
) -> dict[str, object]:
    """Score a file.

    Args:
        contract: Of the backbone.
        predictions: In the published format.
        train_labels: What train answered; see ``read_train_labels``. The index by default.
        out: Where the required files go; without it only the look is written down.
        index: The window index that the rows are of; by default what ``train_labels`` names, if that is one.

    Returns:
        ``metrics`` and ``verdict``, and ``files`` by digest.

    Raises:
        InputError: If a file is not what it should be, or a row is not of the index.
    """
    family, rows = family_of(contract), read_rows(predictions)
    check_rows(family, rows, str(predictions))
    place = index or window_index(train_labels)
    _check_out(out, family)
    facts = {"predictions": predictions.name, "train_labels": (train_labels or place or predictions).name}
    if place is None:
        if train_labels is None:
            raise InputError("nobody says what train answered", where="eval score", hint="give --index INDEX")
        scored = score(contract, rows, read_train_labels(train_labels), where=str(predictions), facts=facts)
        scored = replace(scored, rules=[*scored.rules, held_rule(NO_INDEX, None)])
        return _judged(scored, Opened({}), predictions, out, None)
    source = IndexSource(place)
    train = _same_train(source, train_labels)
    brought = Brought(source, family, rows, str(predictions))
    rows = [{"split": brought.split, **row} for row in rows]  # published actions may leave it out; the index knows
    samples = [Sample(str(row["id"]), str(row["episode_id"]), None) for row in rows]
    windows = Windows(source, contract, brought.split, samples)
    name = out.resolve().name if out else predictions.name
    with Ledger(source.folder) as held:
        opened = Opened.of(
            held,
            windows,
            windows.look(name, contract.id, digest(["brought", sha256_file(predictions)])),
            asked=source.samples(brought.split),
            purpose=f"predictions of {predictions.name}, brought",
            near=(out or predictions).resolve().parent,
        )

        def shown() -> Scored:
            held = held_rule(brought.why_not_held(opened.answers), source.sha256)
            found = score(contract, rows, train, where=str(predictions), facts=facts)
            return replace(found, rules=[*found.rules, held])

        return _judged(opened.scored(shown), opened, predictions, out, source)


def _check_out(out: Path | None, family: str) -> None:
    """See that a folder holds nothing that would be taken for a part of this evaluation.

    Raises:
        InputError: If it holds an evaluation of its own predictions, or of another kind.
    """
    others = [PLAN_FILE, *(name for name in FAMILIES if name != family)]
    there = next((name for name in others if out is not None and (out / name).exists()), None)
    if there is not None:
        what = f"the folder holds another evaluation: {there}"
        raise InputError(what, where=f"--out {out}", hint="choose another folder")


def window_index(path: Path | None) -> Path | None:
    """The folder of the window index that a path names; None if it names none."""
    folder = path.parent if path is not None and path.name == INDEX_FILE else path
    whole = folder is not None and (folder / INDEX_FILE).is_file() and (folder / MANIFEST_FILE).is_file()
    return folder if whole else None


def _same_train(source: IndexSource, named: Path | None) -> TrainLabels:
    """Train answers of the index.

    Raises:
        InputError: If others are named: a baseline would know less than the model.
    """
    train = train_labels_of(source)
    if named is not None and read_train_labels(named).to_json()["labels"] != train.to_json()["labels"]:
        what = "these train labels are not those of the index"
        raise InputError(what, where=f"--train-labels {named}", hint="leave --train-labels out: the index has them")
    return train


def _judged(
    scored: Scored, opened: Opened, predictions: Path, out: Path | None, source: IndexSource | None
) -> dict[str, object]:
    """Judge, write what there is to write, and count the look."""
    scored, made_files = outputs(scored, beside=_beside(scored.contract, predictions.parent))
    judged = {"predictions_sha256": sha256_file(predictions)}
    judged |= {"index_sha256": source.sha256} if source else {}
    # Ranks and errors of futures follow from features that only their predictor has.
    shown = source is not None and scored.family != "future_predictions.jsonl"
    verdict = verdict_document(scored, judged, evidence="predicted" if shown else "reported")
    held = next(rule for rule in scored.rules if rule.id == RULE)
    why = None if held.outcome == "PASS" else held.sentence
    verdict |= {"held_out": {"why": why, "index_sha256": source.sha256 if source else None}}
    files = write_files(out, made_files) if out else {}
    if out:
        (out / BROUGHT_FILE).unlink(missing_ok=True)  # of an earlier scoring, maybe by an index
    if out and source:
        place = Path(os.path.relpath(source.folder.resolve(), out.resolve())).as_posix()
        write_json(out / BROUGHT_FILE, {"schema": BROUGHT_SCHEMA, "index": place, "predictions": predictions.name})
    verdict = opened.judged(verdict, scored)
    if out:
        write_verdict(out, verdict)
    required = set(scored.contract.artifacts["required_eval_files"])
    return {
        "schema": "heldout.eval-score/1",
        "metrics": dict(scored.metrics),
        "verdict": verdict,
        "files": files,
        "missing_files": sorted(required - set(files)) if out else [],
    }


def _beside(contract: BackboneContract, folder: Path) -> dict[str, bytes]:
    """Required files that nobody here makes, from the folder of the predictions."""
    wanted = [name for name in contract.artifacts["required_eval_files"] if name not in MAKES]
    return {name: read_plain(folder / name) for name in wanted if (folder / name).is_file()}
