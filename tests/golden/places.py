"""The only deep imports of the golden tests: whoever moves a module mends its path here and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from heldout.backbone import Judged
from heldout.domains.embodied.score.metrics_future import future_rows
from heldout.evidence import dumps
from heldout.run.resolve import load_backbone
from heldout.verify.evidence import RunEvidence

__all__ = ["future_rows", "published_again"]


def published_again(run: Path, corpus: Path) -> dict[str, bytes]:
    """The backbone's published files of a stored run, made from its metrics by the code as it is now.

    Under ``""`` lie the published fields of its verdict.
    """
    evidence = RunEvidence.open(run)
    lock = evidence.lock
    reports = {path.name: json.loads(path.read_text()) for path in run.glob("loso_seed*.json")}
    backbone = load_backbone(str(lock["backbone"]), lock["fit"])
    judged = Judged(
        folder=run,
        corpus_path=corpus,
        manifest=evidence.corpus,
        config=lock,
        metrics=evidence.metrics,
        verdict=evidence.verdict,
        wall_time_s={report["seed"]: report["wall_time_s"] for report in reports.values()},
        smoke=lock["smoke"],
        provenance=evidence.verdict["run_provenance"],
    )
    made: dict[str, Any] = dict(backbone.published_files(judged))
    made[""] = backbone.published_verdict_fields(judged)
    return {name: dumps(document) for name, document in made.items()}
