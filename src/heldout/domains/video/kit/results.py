"""Which results of video leave as models."""

from __future__ import annotations

from heldout.domains.video.backbone.regressor import FRRegressorBackbone
from heldout.verify.evidence import RunEvidence


def can_export(evidence: RunEvidence) -> bool:
    """Whether ``heldout video export`` has anything to do: a PROMOTE over held-out sources, of our own regressor."""
    lock = evidence.lock
    by_source = lock["corpus"].get("group", "src") == "src"
    return bool(evidence.verdict["verdict"] == "PROMOTE" and lock["backbone"] == FRRegressorBackbone.name and by_source)
