"""A forger of runs who knows heldout well: what fits predicted is replaced, and every file above it made again.

What comes out verifies from the files alone. It is made here and not by `heldout run`, which asks the stored models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from heldout.evidence import digest, dumps, read_json, sha256_file, write_json
from heldout.gate import judge
from heldout.gate.verdict import recommend, verdict_of
from heldout.ledger.trials import Ledger, Look
from heldout.run.layout import files_digest, run_files, write_manifest
from heldout.run.verdict import write_verdict
from heldout.task import Predictions
from heldout.verify import results
from heldout.verify.evidence import RunEvidence, StoredUnit

Values = np.ndarray[Any, np.dtype[Any]]
Forge = Callable[[StoredUnit, Values], Values | None]


def near_truth(noise: float) -> Forge:
    """Predictions that are the held-out target and a little noise; as probabilities, nearly sure of the true class."""

    def forge(unit: StoredUnit, target: Values) -> Values:
        rng = np.random.default_rng(len(target))
        labels = unit.document["classes"]
        if not labels:
            return np.asarray(target + noise * np.std(target) * rng.normal(size=len(target)))
        sure = np.full((len(target), len(labels)), 0.1 / max(1, len(labels) - 1))
        sure[np.arange(len(target)), [labels.index(label) for label in target]] = 0.9
        return np.asarray(sure / sure.sum(axis=1, keepdims=True))

    return forge


def forge_predictions(run: Path, forge: Forge) -> None:
    """Replace what each fit of the variant predicted, and make everything that follows from it again."""
    evidence = RunEvidence.open(run)
    target, fold_of = evidence.predictions.target, evidence.predictions.samples["fold"].to_numpy()
    for (_, fold), unit in evidence.units("").items():
        values = forge(unit, target[fold_of == fold])
        if values is not None:
            save_file({"prediction": np.ascontiguousarray(values)}, unit.folder / "predictions.safetensors")
        mend_unit(unit.folder)
    rejudge(run)


def mend_unit(folder: Path) -> None:
    """Let ``unit.json`` name the files as they are now."""
    document = read_json(folder / "unit.json")
    document["files"] = {name: sha256_file(folder / name) for name in document["files"]}
    write_json(folder / "unit.json", document)


def rejudge(run: Path) -> dict[str, Any]:
    """Predictions, metrics, ledger, verdict and manifest as they follow from the fits that lie there."""
    _table(run).write(run)
    (run / "metrics.json").write_bytes(dumps(results.recomputed_metrics(RunEvidence.open(run))))
    return reverdict(run)


def reverdict(run: Path) -> dict[str, Any]:
    """Ledger, verdict and manifest as they follow from the metrics that lie there."""
    evidence = RunEvidence.open(run)
    outcomes = judge(evidence.metrics, evidence.gate, results._facts(evidence))
    verdict = verdict_of(outcomes)
    reasons = [outcome.sentence for outcome in outcomes if outcome.outcome != "PASS"]
    document = dict(evidence.verdict) | {
        "verdict": verdict,
        "rules": [outcome.to_json() for outcome in outcomes],
        "reasons": reasons,
        "recommendation": recommend(verdict, reasons, None),
        "trial": _look(evidence, verdict),
    }
    write_verdict(run, document)
    document["judged"] |= {
        "predictions_sha256": sha256_file(run / "predictions.jsonl"),
        "metrics_sha256": sha256_file(run / "metrics.json"),
        "files_sha256": files_digest(run_files(run)),
    }
    write_verdict(run, document)
    write_manifest(run)
    return document


def _table(run: Path) -> Predictions:
    evidence = RunEvidence.open(run)
    table = evidence.predictions
    fold_of = table.samples["fold"].to_numpy()
    members = {seed: np.array(values) for seed, values in table.members.items()}
    for (seed, fold), unit in evidence.units("").items():
        members[seed][fold_of == fold] = results._aligned(unit, evidence.classes)
    return Predictions(table.samples, members, table.classes)


def _look(evidence: RunEvidence, verdict: str) -> dict[str, Any]:
    """The forger's look, in the study's ledger as the run before it was."""
    metrics, judged = evidence.metrics, evidence.verdict["judged"]
    with Ledger(evidence.folder.parent) as ledger:
        last = _last_record(evidence)
        named = {each.name for each in fields(Look)}
        record = {key: value for key, value in last.items() if key in named} | {
            "outcome": verdict,
            "primary": {
                "metric": metrics["primary"],
                "value": metrics["ensemble"]["pooled"][metrics["primary"]],
            },
            "metrics_sha256": sha256_file(evidence.folder / "metrics.json"),
            "gate_sha256": digest(evidence.lock["gate"]),
            "variant_sha256": judged["variant_sha256"],
        }
        return ledger.record(Look(**record)).to_json()


def _last_record(evidence: RunEvidence) -> dict[str, Any]:
    from heldout.ledger.trials import read_ledger

    mine = [link.record for link in read_ledger(evidence.folder.parent) if link.record["run"] == evidence.run["run"]]
    return dict(mine[-1])
