"""The link to the domain's own files: what a backbone leaves beside the verdict is made again and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from heldout.backbone import Judged
from heldout.evidence import dumps, loads, read_json
from heldout.gate.asked import attested_of
from heldout.gate.verdict import recommend, recommend_asked
from heldout.run.resolve import load_backbone
from heldout.verify.chain import BrokenError
from heldout.verify.differences import first_difference
from heldout.verify.evidence import RunEvidence

_CORE = frozenset(
    ("schema", "schema_version", "verdict", "evidence", "generated_at_utc", "study", "variant", "seeds", "rules",
     "reasons", "findings", "smoke", "recommendation", "judged", "run_provenance", "trial", "policy",
     "required")
)  # fmt: skip


def check_published(evidence: RunEvidence) -> str:
    """The backbone's own files and fields are those that it makes from metrics and verdict.

    They are made twice, from two places; where the two differ stands a path, which is not compared.
    """
    here, there = (_published(evidence, place) for place in ("here", "there/and"))
    stored: dict[str, Any] = {name: read_json(evidence.folder / name) for name in here if name}
    stored[""] = {key: value for key, value in evidence.verdict.items() if key in here[""] or key not in _CORE}
    for name in sorted(here):
        place = first_difference(_masked(here[name], there[name], here[name]),
                                 _masked(here[name], there[name], stored[name]))  # fmt: skip
        if place is not None:
            where = f"{name or evidence.verdict_file.name}: {place}"
            raise BrokenError("it is not what metrics and verdict give", where)
    files = len(here) - 1
    fields = len(here[""])
    return f"{files} files and {fields} fields of the domain made again: the same" if fields or files else "none"


def _published(evidence: RunEvidence, place: str) -> dict[str, Any]:
    """The backbone's files by name, and under ``""`` its fields of the verdict."""
    lock, named = evidence.lock, Path(str(evidence.verdict["judged"]["corpus_path"]))
    backbone = load_backbone(str(lock["backbone"]), lock["fit"])
    judged = Judged(
        folder=Path(place) / evidence.folder.name,
        corpus_path=Path(place) / named.name,
        manifest=evidence.corpus,
        config=lock,
        metrics=evidence.metrics,
        verdict=evidence.verdict,
        wall_time_s=_wall_times(evidence),
        smoke=lock["smoke"],
        provenance=evidence.verdict["run_provenance"],
    )
    found: dict[str, Any] = dict(backbone.published_files(judged))
    found[""] = dict(backbone.published_verdict_fields(judged))
    if "recommendation" not in found[""]:
        found[""]["recommendation"] = _recommendation(evidence)
    return {name: loads(dumps(value), where=name) for name, value in found.items()}


def _recommendation(evidence: RunEvidence) -> str:
    document = evidence.verdict
    told = document["verdict"], document["reasons"], evidence.lock["smoke"]
    return recommend_asked(attested_of(document["rules"]), *told) if "" in evidence.models else recommend(*told)


def _wall_times(evidence: RunEvidence) -> dict[int, float]:
    times: dict[int, float] = {}
    for seed in evidence.seeds:
        for fold in evidence.split.folds:
            times[seed] = round(times.get(seed, 0.0) + evidence.units("")[seed, fold.id].document["wall_time_s"], 3)
    return times


def _masked(here: Any, there: Any, value: Any) -> Any:
    """``value`` with every text that depends on the place taken out."""
    if isinstance(here, dict) and isinstance(there, dict) and isinstance(value, dict):
        return {key: _masked(here.get(key), there.get(key), item) for key, item in value.items()}
    if isinstance(here, list) and isinstance(there, list) and isinstance(value, list) and len(here) == len(value):
        return [_masked(h, t, item) for h, t, item in zip(here, there, value, strict=True)]
    return "" if isinstance(here, str) and here != there and isinstance(value, str) else value
