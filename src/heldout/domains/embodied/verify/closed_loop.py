"""The closed loop of an evaluation: its success rate, computed again from the runs where they lie beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heldout.documents.names import METRICS_FILE
from heldout.domains.embodied.policy.closed_loop import DOCUMENT_FILE, FOLDER, METRIC, ROWS_FILE, read_closed_loop
from heldout.evidence import sha256_file
from heldout.verify.chain import BrokenError, MetricState
from heldout.verify.differences import difference
from heldout.verify.evaluations import RECORD_FILE, EvaluationEvidence

_DOCUMENT, _ROWS = f"{FOLDER}/{DOCUMENT_FILE}", f"{FOLDER}/{ROWS_FILE}"


def check_closed_loop(evidence: EvaluationEvidence) -> tuple[MetricState, ...]:
    """The state of the closed loop's metric; none if the metrics name no closed loop.

    Raises:
        BrokenError: If the metrics say something else than the runs.
    """
    bound = _bound(evidence)
    for name, sha256 in bound.items():
        if evidence.has(name) and not evidence.changed(name) and sha256_file(evidence.folder / name) != sha256:
            raise BrokenError(f"the file is not the one that {RECORD_FILE} names", name)
    stated = evidence.metrics["evidence"].get(METRIC)
    if stated is None and (METRIC in evidence.metrics or bound):
        what = "stated nothing; the evaluation read closed-loop runs" if bound else "it stands beside no evidence"
        raise BrokenError(what, f"{METRICS_FILE}: evidence/{METRIC}")
    if stated is None:
        return ()
    if evidence.metrics[METRIC] != stated["value"]:
        what = f"stated {evidence.metrics[METRIC]!r}; its own evidence says {stated['value']!r}"
        raise BrokenError(what, f"{METRICS_FILE}: {METRIC}")
    return (_of_runs(evidence, stated),)


def _of_runs(evidence: EvaluationEvidence, stated: Mapping[str, Any]) -> MetricState:
    if stated["value"] is None:
        return MetricState(METRIC, "attested", str(stated.get("why", "it is undefined")))
    if not (evidence.has(_DOCUMENT) and evidence.has(_ROWS)):
        return MetricState(METRIC, "attested", f"the runs ({_ROWS}) are not here")
    document = read_closed_loop(evidence.folder / FOLDER)
    assert document is not None  # it is there
    different = difference(document["evidence"], stated)
    if different is not None:
        what = f"stated {different.found!r}; the runs give {different.expected!r}"
        raise BrokenError(what, f"{METRICS_FILE}: evidence/{METRIC}{different.place}")
    return MetricState(METRIC, "recomputed")


def _bound(evidence: EvaluationEvidence) -> dict[str, str]:
    """Digests of the runs that the evaluation read."""
    if not evidence.has(RECORD_FILE):
        return {}
    return {name: sha256 for name, sha256 in evidence.record["bound"].items() if name.startswith(f"{FOLDER}/")}
