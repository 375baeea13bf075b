"""``heldout eval score``: a file of predictions in, metrics, required files and a verdict out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from heldout.domains.embodied.contracts import BackboneContract
from heldout.domains.embodied.evaluation import Row, Scored, read_rows, score
from heldout.domains.embodied.evaluation_files import MAKES, judged_files, write_files
from heldout.domains.embodied.evaluation_labels import read_train_labels
from heldout.domains.embodied.evaluation_report import FrameReader, page
from heldout.domains.embodied.evaluation_rules import policy_sha256
from heldout.evidence import digest, dumps, read_plain, sha256_bytes, sha256_file
from heldout.evidence import provenance as made
from heldout.gate.verdict import build_verdict, recommend_evaluation
from heldout.gate.verdict_files import write_verdict
from heldout.printable import printable_lines


def score_file(
    contract: BackboneContract, predictions: Path, train_labels: Path, out: Path | None = None
) -> dict[str, Any]:
    """Score a file.

    Args:
        contract: Of the backbone.
        predictions: In the published format.
        train_labels: What train answered; see ``read_train_labels``.
        out: Where the required files go; nothing is written without it.

    Returns:
        ``metrics`` and ``verdict``, and ``files`` by digest.

    Raises:
        InputError: If a file is not what it should be.
    """
    train = read_train_labels(train_labels)
    facts = {"predictions": predictions.name, "train_labels": train_labels.name}
    scored = score(contract, read_rows(predictions), train, where=str(predictions), facts=facts)
    scored, made_files = outputs(scored, beside=_beside(contract, predictions.parent))
    files = write_files(out, made_files) if out else {}
    verdict = verdict_document(scored, {"predictions_sha256": sha256_file(predictions)}, evidence="reported")
    if out:
        write_verdict(out, verdict)
    return {
        "schema": "heldout.eval-score/1",
        "metrics": dict(scored.metrics),
        "verdict": verdict,
        "files": files,
        "missing_files": sorted(set(contract.artifacts["required_eval_files"]) - set(files)) if out else [],
    }


def outputs(
    scored: Scored, frames: FrameReader | None = None, beside: Mapping[str, bytes] | None = None
) -> tuple[Scored, dict[str, bytes]]:
    """The required files and ``report.html``, and the scoring with what is to be said of the files."""
    judged, files = judged_files(scored, beside)
    return judged, files | {"report.html": printable_lines(page(judged, frames)).encode()}


def windows_sha256(rows: Sequence[Row]) -> str:
    """Which windows of which episodes were judged, in their order, by digest."""
    return digest([[str(row["id"]), str(row["episode_id"])] for row in rows])


def _beside(contract: BackboneContract, folder: Path) -> dict[str, bytes]:
    """Required files that nobody here makes, from the folder of the predictions."""
    wanted = [name for name in contract.artifacts["required_eval_files"] if name not in MAKES]
    return {name: read_plain(folder / name) for name in wanted if (folder / name).is_file()}


def verdict_document(scored: Scored, judged: Mapping[str, Any], *, evidence: Any = "computed") -> dict[str, Any]:
    """The verdict: PROMOTE only if every rule is PASS."""
    metrics = scored.metrics
    return build_verdict(
        study=f"embodied-{scored.contract.id}",
        variant=str(scored.facts.get("predictor") or scored.contract.id),
        seeds=[],
        outcomes=scored.rules,
        findings=[],
        smoke=metrics["smoke"],
        judged=dict(judged)
        | {
            "metrics_sha256": sha256_bytes(dumps(metrics)),
            "train_labels_sha256": scored.train.sha256,
            "train_counts_sha256": sha256_bytes(dumps(scored.train.to_json())),
            "windows_sha256": windows_sha256(scored.rows),
            "contract_sha256": digest(scored.contract.config),
            "gate_sha256": policy_sha256(scored.contract.config["primary_metrics"]),
        },
        provenance=made.build(args={}, inputs={}, outputs={}),
        evidence=evidence,
        advice=recommend_evaluation,
    )
